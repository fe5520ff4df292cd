//! Tests of the checker: each kind of damage to a valid container causes the expected findings.

pub(crate) mod cases_content;
pub(crate) mod cases_names;
pub(crate) mod cases_tree;
pub(crate) mod edit;
pub(crate) mod fixture;
pub(crate) mod indirect;

use std::collections::BTreeSet;

use clfsload_checker::{Rule, check};
use fixture::Fixture;

/// A description of the damage, the rules that it violates (and no others), and the function that causes it.
pub(crate) type Case = (&'static str, &'static [Rule], fn(&mut Fixture));

fn run(cases: &[Case], valid: &Fixture) -> BTreeSet<Rule> {
    let mut wrong = Vec::new();
    let mut covered = BTreeSet::new();
    for (what, expected, damage) in cases {
        let mut fixture = valid.clone();
        damage(&mut fixture);
        let checked = check(&fixture.container.blobs);
        let found: BTreeSet<Rule> = checked.findings.iter().map(|f| f.rule).collect();
        let expected: BTreeSet<Rule> = expected.iter().copied().collect();
        if found != expected {
            let lines: Vec<String> = checked
                .findings
                .iter()
                .take(6)
                .map(|f| f.to_string())
                .collect();
            wrong.push(format!(
                "{what}: expected {expected:?}, found {found:?}\n    {}",
                lines.join("\n    ")
            ));
        }
        covered.extend(expected);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    covered
}

#[test]
fn the_undamaged_container_is_valid() {
    let fixture = Fixture::new();
    let checked = check(&fixture.container.blobs);
    checked.assert_clean();
    // Everything in the container is reachable.
    assert_eq!(checked.tree.len(), fixture.paths);
    let kinds: BTreeSet<clfsload_checker::Kind> =
        checked.tree.values().map(|node| node.kind).collect();
    assert_eq!(kinds.len(), 7);
}

/// At least one case violates each rule, and each case violates exactly the expected rules.
#[test]
fn every_damage_is_found() {
    let valid = Fixture::new();
    let mut covered = run(cases_names::CASES, &valid);
    covered.extend(run(cases_content::CASES, &valid));
    covered.extend(run(cases_tree::CASES, &valid));
    covered.extend(indirect::covered());
    let missed: Vec<&Rule> = Rule::ALL.iter().filter(|r| !covered.contains(r)).collect();
    assert!(missed.is_empty(), "no damage for {missed:?}");
}
