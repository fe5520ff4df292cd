//! After any number of crashes of any kind, the completed container is byte for byte that of an undisturbed run
//! (docs/reliability.md).

mod damaged_state;
mod deletions;
mod points;
mod power_loss;
mod random_kills;
mod requests;
mod signals;
mod transfer;
mod wrapper;
