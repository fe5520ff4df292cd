//! Whatever ends the process, and however often: the container that is finished at last is, byte
//! for byte, the one of an undisturbed run (docs/reliability.md).

mod damaged_state;
mod deletions;
mod points;
mod power_loss;
mod random_kills;
mod requests;
mod signals;
mod transfer;
mod wrapper;
