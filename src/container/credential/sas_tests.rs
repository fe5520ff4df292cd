#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const SIG: &str = "aB3%2BsEcReT%2Fxyz%3D";
const SECRETS: [&str; 3] = ["aB3", "sEcReT", "xyz"];

fn token(rest: &str) -> SasToken {
    SasToken::parse(&format!("{rest}&sig={SIG}")).unwrap()
}

fn at(text: &str) -> SystemTime {
    parse_time(text).unwrap()
}

fn check(rest: &str) -> Result<(), SasProblem> {
    token(rest).check(at("2030-01-01T00:00:00Z"), Permissions::ALL)
}

#[test]
fn tokens_are_queries() {
    let text = format!("?sv=2022-11-02&sr=c&sp=rwdl&se=2031-01-01T00%3A00%3A00Z&sig={SIG}");
    let sas = SasToken::parse(&text).unwrap();
    assert_eq!(sas.expiry(), Some(at("2031-01-01T00:00:00Z")));
    assert_eq!(sas.field("sig"), Some("aB3+sEcReT/xyz="));
    assert_eq!(SasToken::parse(&format!(" {text}\n")), Ok(sas));
}

#[test]
fn no_format_of_a_token_shows_the_signature() {
    let sas = token("sp=rl&sr=c&zz=sEcReT");
    for shown in [format!("{sas}"), format!("{sas:?}"), format!("{sas:#?}")] {
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("sig=REDACTED") && shown.contains("sp=rl"));
    }
}

#[test]
fn other_texts_are_rejected() {
    let cases = [
        ("", InvalidSas::Empty),
        (" ? ", InvalidSas::Empty),
        ("sv=2022-11-02", InvalidSas::NoSignature),
        ("sr=c&sig=", InvalidSas::EmptySignature),
        ("sr=c&sEcReT", InvalidSas::Form),
        ("sr=c&sig=%zz", InvalidSas::Form),
        ("sr=c&sig=a%2", InvalidSas::Form),
        ("sr=c&sig=a b", InvalidSas::Form),
        ("sp=r&sp=rwdl&sig=a", InvalidSas::Repeated("sp")),
        ("se=tomorrow&sig=a", InvalidSas::Time("se")),
        ("st=2030-13-01&sig=a", InvalidSas::Time("st")),
    ];
    for (text, expected) in cases {
        assert_eq!(SasToken::parse(text), Err(expected), "{text:?}");
    }
    assert!(
        InvalidSas::NoSignature
            .to_string()
            .contains("quote the token")
    );
}

#[test]
fn each_missing_permission_is_reported() {
    assert_eq!(check("sr=c&sp=rwdl"), Ok(()));
    assert_eq!(check("sr=c&sp=racwdxltf"), Ok(()));
    let lacking = |missing: &str| {
        Err(SasProblem::Permissions {
            missing: missing.to_owned(),
            needed: Permissions::ALL,
        })
    };
    assert_eq!(
        check("sr=c&sp=rc"),
        lacking("write (w), delete (d), list (l)")
    );
    assert_eq!(
        check("sr=c"),
        lacking("read (r), write (w), delete (d), list (l)")
    );
    let reader = token("sr=c&sp=rl");
    assert_eq!(reader.check(at("2030-01-01"), Permissions::READ), Ok(()));
    let message = |permissions| {
        let lacking = token("sr=c&sp=w").check(at("2030-01-01"), permissions);
        lacking.unwrap_err().to_string()
    };
    let start = "the SAS token lacks the permissions read (r)";
    assert_eq!(
        message(Permissions::READ),
        format!("{start}, list (l): get one with read and list (rl)")
    );
    assert_eq!(
        message(Permissions::ALL),
        format!("{start}, delete (d), list (l): get one with read, write, delete and list (rwdl)")
    );
}

#[test]
fn stored_access_policies_are_not_checked() {
    assert_eq!(check("sr=c&si=policy"), Ok(()));
    assert_eq!(token("sr=c&si=policy").expiry(), None);
}

#[test]
fn start_and_expiry_are_checked() {
    let expired = check("sr=c&sp=rwdl&se=2030-01-01T00:00:00Z").unwrap_err();
    assert_eq!(expired, SasProblem::Expired("2030-01-01T00:00:00Z".into()));
    assert_eq!(check("sr=c&sp=rwdl&se=2030-01-01T00:00:01Z"), Ok(()));
    assert_eq!(check("sr=c&sp=rwdl&st=2030-01-01T00:14:00Z"), Ok(()));
    let early = check("sr=c&sp=rwdl&st=2030-01-01T00:16:00Z").unwrap_err();
    assert_eq!(
        early,
        SasProblem::NotYetValid("2030-01-01T00:16:00Z".into())
    );
}

#[test]
fn the_resource_is_checked() {
    assert_eq!(check("sr=b&sp=rwdl"), Err(SasProblem::Resource("blob")));
    assert_eq!(check("sp=rwdl"), Err(SasProblem::UnknownKind));
    assert_eq!(check("ss=bfqt&srt=sco&sp=rwdl"), Ok(()));
    assert_eq!(
        check("ss=fqt&srt=sco&sp=rwdl"),
        Err(SasProblem::Service("fqt".into()))
    );
    assert_eq!(
        check("ss=b&srt=so&sp=rwdl"),
        Err(SasProblem::ResourceTypes("so".into()))
    );
    assert_eq!(
        check("ss=b&srt=c&sp=rwdl"),
        Err(SasProblem::ResourceTypes("c".into()))
    );
}

#[test]
fn all_time_formats_of_azure_are_parsed() {
    let seconds = |text| {
        parse_time(text).map(|time| match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap(),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap(),
        })
    };
    assert_eq!(seconds("1970-01-01"), Some(0));
    assert_eq!(seconds("1969-12-31"), Some(-86_400));
    assert_eq!(seconds("2000-02-29T00:00Z"), Some(951_782_400));
    assert_eq!(seconds("2000-03-01T00:00:00Z"), Some(951_868_800));
    assert_eq!(seconds("2038-01-19T03:14:08Z"), Some(2_147_483_648));
    assert_eq!(seconds("2038-01-19T03:14:08.1234567Z"), Some(2_147_483_648));
    assert_eq!(seconds("2038-01-19T05:14:08+02:00"), Some(2_147_483_648));
    assert_eq!(seconds("2038-01-18T22:14:08-05:00"), Some(2_147_483_648));
    for bad in [
        "",
        "2030",
        "2030-1-1",
        "2030-01-01T",
        "2030-01-01T00:00:00",
        "2030-01-01T24:00Z",
        "2030-01-01T00:00:00Zx",
        "+030-01-01",
        "2030-01-01T00:00é",
    ] {
        assert_eq!(seconds(bad), None, "{bad:?}");
    }
}

#[test]
fn signatures_in_other_texts_are_redacted() {
    let text = "unexpected 'sv=1&sig=ab%2Bc+/=&se=2' and sig=xyz' twice";
    let shown = "unexpected 'sv=1&sig=REDACTED&se=2' and sig=REDACTED' twice";
    assert_eq!(super::redacted(text), shown);
    assert_eq!(super::redacted("nothing"), "nothing");
}
