//! `clfsload verify`: valid containers have no findings, and all damage is found.

mod after_load;
mod archived;
mod azure;
mod cache_objects_and_cycles;
mod consequences;
mod damage;
mod flips;
mod golden;
mod harmless;
mod interrupted;
mod memory;
mod orphans;
mod run;
mod source;
mod swapped;
