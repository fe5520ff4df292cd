//! A failure of the source becomes a stored problem: the other entries are loaded, the lists in the state folder
//! name the missing entries, and a resume or `--skip-failed` completes the container.

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
