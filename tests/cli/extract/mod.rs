//! `clfsload extract` with valid, damaged and hostile containers.

mod arguments;
mod damage;
mod disks;
mod existing;
mod fixture;
mod golden;
mod hostile;
mod limited;
mod limited_disk;
mod memory;
mod repair;
mod resume;
mod round_trip;
mod users;
