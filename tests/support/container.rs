//! A model file taken apart and put together again with a checksum that fits, whatever was changed. Also used by the
//! fuzz target `model_file`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An array: its kind (`F64`, `U32`, `U8`), its shape and its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    pub kind: String,
    pub shape: Vec<u64>,
    pub bytes: Vec<u8>,
}

/// The parts of a model file.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Card, schema, golden rows and the rest of the metadata entry.
    pub entry: Value,
    pub arrays: BTreeMap<String, Raw>,
}

pub fn f64s(shape: &[u64], values: &[f64]) -> Raw {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Raw { kind: "F64".into(), shape: shape.to_vec(), bytes }
}

pub fn u32s(values: &[u32]) -> Raw {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Raw { kind: "U32".into(), shape: vec![values.len() as u64], bytes }
}

pub fn u8s(values: &[u8]) -> Raw {
    Raw { kind: "U8".into(), shape: vec![values.len() as u64], bytes: values.to_vec() }
}

impl Container {
    /// Takes a sound file apart.
    pub fn of(file: &[u8]) -> Self {
        let end = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let Value::Object(mut header) = serde_json::from_slice(&file[8..end]).unwrap() else {
            panic!("the header is no object");
        };
        let metadata = header.remove("__metadata__").unwrap();
        let entry = serde_json::from_str(metadata["mlapi"].as_str().unwrap()).unwrap();
        let number = |value: &Value| value.as_u64().unwrap();
        let raw = |info: &Value| {
            let [from, to] = [0, 1].map(|i| end + number(&info["data_offsets"][i]) as usize);
            Raw {
                kind: info["dtype"].as_str().unwrap().into(),
                shape: info["shape"].as_array().unwrap().iter().map(number).collect(),
                bytes: file[from..to].to_vec(),
            }
        };
        let mut arrays: BTreeMap<_, _> =
            header.iter().map(|(name, info)| (name.clone(), raw(info))).collect();
        arrays.remove("checksum");
        Self { entry, arrays }
    }

    /// Replaces arrays, or adds them.
    pub fn put<const N: usize>(&mut self, arrays: [(&str, Raw); N]) {
        self.arrays.extend(arrays.map(|(name, raw)| (name.to_string(), raw)));
    }

    /// The file, with the checksum of what it holds.
    pub fn bytes(&self) -> Vec<u8> {
        let entry = self.entry.to_string();
        let mut sha = Sha256::new();
        let mut part = |bytes: &[u8]| {
            sha.update((bytes.len() as u64).to_le_bytes());
            sha.update(bytes);
        };
        part(entry.as_bytes());
        for (name, raw) in &self.arrays {
            part(name.as_bytes());
            part(format!("{} {:?}", raw.kind, raw.shape).as_bytes());
            part(&raw.bytes);
        }
        let mut arrays: Vec<(&str, Raw)> =
            self.arrays.iter().map(|(name, raw)| (name.as_str(), raw.clone())).collect();
        arrays.push(("checksum", u8s(&sha.finalize())));
        // Wide kinds first, so that every array is aligned.
        arrays.sort_by_key(|(_, raw)| ["F64", "U32"].iter().position(|kind| raw.kind == *kind).unwrap_or(2));
        let mut header = json!({ "__metadata__": { "mlapi": entry } });
        let mut data = Vec::new();
        for (name, raw) in arrays {
            let from = data.len();
            data.extend(raw.bytes);
            header[name] =
                json!({ "dtype": raw.kind, "shape": raw.shape, "data_offsets": [from, data.len()] });
        }
        let mut header = header.to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
    }
}
