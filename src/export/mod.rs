//! A model of mlapi in a form that other programs run: ONNX, the text of LightGBM, or a query in standard SQL.
//!
//! Called by `mlapi export` alone. What a form cannot say is refused by its name, never approximated.

mod lightgbm;
mod onnx;
mod sql;

use anyhow::{Result, bail};

use crate::model::Model;
use crate::model::pipeline::Member;
use crate::model::target_transform::TargetTransform;

/// A form that a model is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An ONNX file, which onnxruntime and others run.
    Onnx {
        /// Single precision and the operators of older runtimes.
        compatible: bool,
    },
    /// The text of a LightGBM model, which LightGBM, treelite, Triton's tree server and shap read.
    Lightgbm,
    /// A query in standard SQL.
    Sql,
}

/// The bytes of a model in another form.
///
/// # Errors
/// A model that the form cannot say, with what keeps it from that.
pub fn export(model: &Model, form: Form) -> Result<Vec<u8>> {
    let text = match form {
        Form::Onnx { compatible } => return onnx::file(model, compatible),
        Form::Lightgbm => lightgbm::text(model, only_member(model)?),
        Form::Sql => sql::query(model, only_member(model)?),
    };
    text.map(String::into_bytes)
}

fn only_member(model: &Model) -> Result<&Member> {
    let Some(member) = model.pipeline.only_member() else {
        bail!(
            "the model is an ensemble of {} models, and the form holds one; export --to onnx, train with --no-ensemble or \
             name an --algorithm",
            model.pipeline.members.len()
        )
    };
    Ok(member)
}

/// # Errors
/// A target that was not learned as it is.
fn learned_as_is(member: &Member) -> Result<()> {
    if member.target != TargetTransform::Identity {
        bail!(
            "the model was trained on a transformed target, which the form cannot undo; another --algorithm predicts the \
             target as it is"
        )
    }
    Ok(())
}
