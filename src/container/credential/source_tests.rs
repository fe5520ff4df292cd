#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

/// Returns a token that expires in `expires_in` seconds.
fn token(signature: &str, expires_in: u64) -> String {
    let expiry = SystemTime::now() + Duration::from_secs(expires_in);
    let expiry = humantime::format_rfc3339_seconds(expiry);
    format!("sr=c&sp=rwdl&se={expiry}&sig={signature}")
}

fn parsed(text: &str) -> SasToken {
    SasToken::parse(text).unwrap()
}

type Notices = Arc<Mutex<Vec<String>>>;

struct Scene {
    source: TokenSource,
    notices: Notices,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(first: &str) -> Self {
        Self::needing(first, Permissions::ALL)
    }

    fn needing(first: &str, needed: Permissions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, first).unwrap();
        let notices = Notices::default();
        let seen = Arc::clone(&notices);
        let observer = Arc::new(move |notice: &Notice<'_>| {
            seen.lock().unwrap().push(notice.to_string());
        });
        let source = TokenSource::new(parsed(first), Some(file), needed, observer);
        // As if the token had been valid for longer at the start.
        source.state().is_reported = false;
        Self {
            source,
            notices,
            folder,
        }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.folder.path().join("token"), text).unwrap();
    }
}

fn advice_of(renewal: Renewal) -> String {
    match renewal {
        Renewal::Unavailable(advice) => advice,
        Renewal::Renewed(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rejected_token_is_replaced_by_the_files() {
    let first = token("one", 3600);
    let scene = Scene::new(&first);
    let used = scene.source.current().await;
    let same = advice_of(scene.source.after_rejection(&used).await);
    assert!(same.contains("still holds this token"), "{same}");
    let second = token("two", 7200);
    scene.write(&format!("  ?{second}\n"));
    assert_eq!(
        *scene.source.current().await,
        parsed(&first),
        "the file was read too early"
    );
    let Renewal::Renewed(other) = scene.source.after_rejection(&used).await else {
        panic!("not replaced");
    };
    assert_eq!(*other, parsed(&second));
    assert_eq!(*scene.source.current().await, parsed(&second));
    // Other requests that were sent with the first token get the second one without another read.
    scene.write("nothing");
    let Renewal::Renewed(other) = scene.source.after_rejection(&used).await else {
        panic!("not replaced");
    };
    assert_eq!(*other, parsed(&second));
    let notices = scene.notices.lock().unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].starts_with("now using the new SAS token in "));
}

#[tokio::test]
async fn unusable_tokens_are_reported() {
    let scene = Scene::new(&token("one", 3600));
    let used = scene.source.current().await;
    let lacking = token("two", 3600).replace("sp=rwdl", "sp=rl");
    let cases = [
        ("", "is empty"),
        ("garbage", "is not of the form"),
        (
            &*lacking,
            "lacks the permissions write (w), delete (d): get one with read, write, delete and list (rwdl)",
        ),
        (
            "sr=c&sp=rwdl&se=2020-01-01&sig=old",
            "expired at 2020-01-01",
        ),
    ];
    for (content, reason) in cases {
        scene.write(content);
        let advice = advice_of(scene.source.after_rejection(&used).await);
        assert!(
            advice.contains(reason) && !advice.contains("sig=old"),
            "{advice}"
        );
    }
    std::fs::remove_file(scene.folder.path().join("token")).unwrap();
    let advice = advice_of(scene.source.after_rejection(&used).await);
    assert!(advice.contains("cannot be read"), "{advice}");
    let one = parsed(&token("one", 3600));
    let fixed = TokenSource::new(one, None, Permissions::ALL, Arc::new(|_| ()));
    let advice = advice_of(fixed.after_rejection(&fixed.current().await).await);
    assert_eq!(advice, "run the same command with a new token");
}

#[tokio::test]
async fn reading_needs_only_its_permissions() {
    let reading = |signature| token(signature, 3600).replace("sp=rwdl", "sp=rl");
    let scene = Scene::needing(&reading("one"), Permissions::READ);
    let used = scene.source.current().await;
    let second = reading("two");
    scene.write(&second);
    let Renewal::Renewed(other) = scene.source.after_rejection(&used).await else {
        panic!("not replaced");
    };
    assert_eq!(*other, parsed(&second));
    scene.write(&token("three", 3600).replace("sp=rwdl", "sp=l"));
    let advice = advice_of(scene.source.after_rejection(&other).await);
    let lacks = "lacks the permissions read (r): get one with read and list (rl)";
    assert!(advice.contains(lacks), "{advice}");
}

#[tokio::test]
async fn the_file_is_read_before_the_expiry() {
    let first = token("one", 200);
    let scene = Scene::new(&first);
    assert_eq!(*scene.source.current().await, parsed(&first));
    assert_eq!(scene.notices.lock().unwrap().len(), 1, "not reported");
    let second = token("two", 7200);
    scene.write(&second);
    // The file is not read for every request.
    assert_eq!(*scene.source.current().await, parsed(&first));
    scene.source.state().last_read = None;
    assert_eq!(*scene.source.current().await, parsed(&second));
    let notices = scene.notices.lock().unwrap();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].contains("write a new token to"), "{notices:?}");
}

#[tokio::test]
async fn the_expiry_is_reported_once_while_the_file_has_the_old_token() {
    let scene = Scene::new(&token("one", 200));
    for _ in 0..3 {
        scene.source.state().last_read = None;
        scene.source.current().await;
    }
    assert_eq!(scene.notices.lock().unwrap().len(), 1);
}
