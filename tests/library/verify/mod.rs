//! `clfsload verify`: sound containers are clean, and no damage goes unnoticed.

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
