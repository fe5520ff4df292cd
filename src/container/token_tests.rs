#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::container::notice::NoticeObserver;

/// A token that ends so many seconds from now.
fn token(signature: &str, ends_in: u64) -> String {
    let end = SystemTime::now() + Duration::from_secs(ends_in);
    let end = humantime::format_rfc3339_seconds(end);
    format!("sr=c&sp=rwdl&se={end}&sig={signature}")
}

fn parsed(text: &str) -> SasToken {
    SasToken::parse(text).unwrap()
}

type Told = Arc<Mutex<Vec<String>>>;

fn watched(source: TokenSource) -> (TokenSource, Told) {
    let told = Told::default();
    let seen = Arc::clone(&told);
    let observer: NoticeObserver =
        Arc::new(move |notice| seen.lock().unwrap().push(notice.to_string()));
    (source.with_notices(observer), told)
}

struct Scene {
    source: TokenSource,
    told: Told,
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
        let (source, told) = watched(TokenSource::from_file(parsed(first), file, needed));
        // As if the token had had more time left in the beginning.
        source.state().told = false;
        Self {
            source,
            told,
            folder,
        }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.folder.path().join("token"), text).unwrap();
    }
}

fn advice(renewal: Renewal) -> String {
    match renewal {
        Renewal::None(advice) => advice,
        Renewal::Other(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rejected_token_is_replaced_by_the_files() {
    let first = token("one", 3600);
    let scene = Scene::new(&first);
    let used = scene.source.current().await;
    let same = advice(scene.source.after_rejection(&used).await);
    assert!(same.contains("still holds this token"), "{same}");
    let second = token("two", 7200);
    scene.write(&format!("  ?{second}\n"));
    assert_eq!(
        *scene.source.current().await,
        parsed(&first),
        "looked early"
    );
    let Renewal::Other(other) = scene.source.after_rejection(&used).await else {
        panic!("not replaced");
    };
    assert_eq!(*other, parsed(&second));
    assert_eq!(*scene.source.current().await, parsed(&second));
    // Others whose requests carried the first token get the second one without a look.
    scene.write("nothing");
    let Renewal::Other(other) = scene.source.after_rejection(&used).await else {
        panic!("not replaced");
    };
    assert_eq!(*other, parsed(&second));
    let told = scene.told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("going on with the new SAS token in "));
}

#[tokio::test]
async fn what_is_no_usable_token_is_told() {
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
        let told = advice(scene.source.after_rejection(&used).await);
        assert!(told.contains(reason) && !told.contains("sig=old"), "{told}");
    }
    std::fs::remove_file(scene.folder.path().join("token")).unwrap();
    let told = advice(scene.source.after_rejection(&used).await);
    assert!(told.contains("cannot be read"), "{told}");
    let fixed = TokenSource::fixed(parsed(&token("one", 3600)));
    let told = advice(fixed.after_rejection(&fixed.current().await).await);
    assert_eq!(told, "run the same command with a new token");
}

#[tokio::test]
async fn who_only_reads_needs_no_more() {
    let reading = |signature| token(signature, 3600).replace("sp=rwdl", "sp=rl");
    let scene = Scene::needing(&reading("one"), Permissions::READ);
    let used = scene.source.current().await;
    scene.write(&reading("two"));
    let Renewal::Other(other) = scene.source.after_rejection(&used).await else {
        panic!("not replaced");
    };
    assert_eq!(*other, parsed(&reading("two")));
    scene.write(&token("three", 3600).replace("sp=rwdl", "sp=l"));
    let told = advice(scene.source.after_rejection(&other).await);
    let lacks = "lacks the permissions read (r): get one with read and list (rl)";
    assert!(told.contains(lacks), "{told}");
}

#[tokio::test]
async fn the_file_is_looked_into_before_the_end() {
    let first = token("one", 200);
    let scene = Scene::new(&first);
    assert_eq!(*scene.source.current().await, parsed(&first));
    assert_eq!(scene.told.lock().unwrap().len(), 1, "the end is not told");
    let second = token("two", 7200);
    scene.write(&second);
    // Not with every request.
    assert_eq!(*scene.source.current().await, parsed(&first));
    scene.source.state().looked = None;
    assert_eq!(*scene.source.current().await, parsed(&second));
    let told = scene.told.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("put a new token into"), "{told:?}");
}

#[tokio::test]
async fn a_file_that_still_holds_the_old_token_is_told_of_once() {
    let scene = Scene::new(&token("one", 200));
    for _ in 0..3 {
        scene.source.state().looked = None;
        scene.source.current().await;
    }
    assert_eq!(scene.told.lock().unwrap().len(), 1);
}
