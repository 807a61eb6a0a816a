//! Reads tables into typed columns, for benches/read.py, which says how it is measured:
//!
//! ```text
//! read FILE…          prints the seconds that reading took
//! read copy FROM TO   reads a file and writes it again
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::time::Instant;

use anyhow::{Result, bail};
use mlapi::data::cells::cell::NullTokens;
use mlapi::data::cells::table::Column;
use mlapi::data::judge::profile::Profile;
use mlapi::data::read::load::{Reading, read_tables};
use mlapi::data::read::source::Options;
use rayon::prelude::*;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let started = Instant::now();
    match &arguments[..] {
        [] => bail!("usage: read FILE… | read copy FROM TO"),
        [verb, from, to] if verb == "copy" => {
            let (mut from, mut to) = (File::open(from)?, File::create(to)?);
            let mut buffer = vec![0; 1 << 20];
            loop {
                let n = from.read(&mut buffer)?;
                if n == 0 {
                    break;
                }
                to.write_all(&buffer[..n])?;
            }
        }
        files => {
            let mut raw = read_tables(files, &Options::default(), &Reading::default())?;
            let nulls = NullTokens::default();
            let types: Vec<_> = (0..raw.names.len())
                .into_par_iter()
                .map(|i| Profile::of(&raw, i, &nulls).column_type())
                .collect();
            let columns: Vec<Column> = types
                .into_iter()
                .enumerate()
                .map(|(i, t)| Column::take(&mut raw, i, t, &nulls, &[]))
                .collect::<Result<_>>()?;
            // Freeing the memory is not measured, as it is not for the peers.
            println!("{}", started.elapsed().as_secs_f64());
            eprintln!("{} rows, {} columns", raw.n_rows(), columns.len());
            return Ok(());
        }
    }
    println!("{}", started.elapsed().as_secs_f64());
    Ok(())
}
