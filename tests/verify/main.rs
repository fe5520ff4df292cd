//! `clfsload verify`: sound containers are clean, and no damage goes unnoticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../checker/mod.rs"]
mod checker;
#[path = "../support/mod.rs"]
mod support;

#[path = "../checker_damage/cases_content.rs"]
mod cases_content;
#[path = "../checker_damage/cases_names.rs"]
mod cases_names;
#[path = "../checker_damage/cases_tree.rs"]
mod cases_tree;
#[path = "../checker_damage/edit.rs"]
mod edit;
// The checker's own test uses more of it.
#[allow(dead_code)]
#[path = "../checker_damage/fixture.rs"]
mod fixture;
#[path = "../checker_damage/indirect.rs"]
mod indirect;
#[allow(dead_code)]
#[path = "../checker_damage/kinds.rs"]
mod kinds;
#[path = "../checker_damage/synthetic.rs"]
mod synthetic;

mod after_load;
mod archived;
mod azure;
mod consequences;
mod damage;
mod flips;
mod golden;
mod harmless;
mod interrupted;
mod memory;
mod orphans;
mod others;
mod run;
mod source;
mod swapped;

/// What is damaged, the rules of the checker that are then broken, and how.
type Case = (
    &'static str,
    &'static [checker::Rule],
    fn(&mut fixture::Fixture),
);
