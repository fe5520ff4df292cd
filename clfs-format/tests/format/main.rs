//! Tests of the public functions: decoding, inspecting and encoding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decoders;
mod golden;
mod samples;

mod block_map_start;
mod block_maps;
mod containers;
mod corpus;
mod examples;
mod inspection;
mod inspection_entries;
mod inspection_handles;
mod inspection_segments;
mod limits;
mod object_names;
mod vectors;
mod wrapper;
