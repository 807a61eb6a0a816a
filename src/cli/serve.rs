//! `mlapi serve`
use super::args::{Common, Serve};
use super::term::Term;
pub fn run(_args: &Serve, _common: &Common, _term: &Term) -> anyhow::Result<()> {
    anyhow::bail!("merge pending")
}
