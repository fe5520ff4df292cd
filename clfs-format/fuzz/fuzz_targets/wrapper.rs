#![no_main]

#[path = "../../tests/format/decoders/mod.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    decoders::wrapper(data);
});
