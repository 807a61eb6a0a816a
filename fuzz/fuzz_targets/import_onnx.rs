//! Arbitrary bytes as a model file of ONNX: an error, or a model whose made-up rows have finite predictions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mlapi::import::{Format, check_bytes};

fuzz_target!(|input: &[u8]| {
    let _ = check_bytes(Format::Onnx, input);
});
