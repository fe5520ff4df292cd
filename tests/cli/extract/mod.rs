//! `clfsload extract`: what comes out of containers, sound, damaged and hostile ones.

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
mod words;
