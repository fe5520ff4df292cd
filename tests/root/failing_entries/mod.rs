//! What the source refuses becomes a stored problem: the other entries are loaded, the lists in the
//! state folder say what is missing, and a resume or `--skip-failed` leaves nothing behind.

mod acls;
mod automount;
mod changing;
mod fixture;
mod identity;
mod limits;
mod links;
mod permissions;
mod refused;
mod subtrees;
mod unmounted;
