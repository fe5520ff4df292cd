//! `clfsload extract` with sound, damaged and hostile containers.

mod damage;
mod disks;
mod fixture;
mod golden;
mod hostile;
mod limited;
mod limited_disk;
mod memory;
mod repair;
mod resume;
mod round_trip;
mod standing;
mod users;
mod arguments;
