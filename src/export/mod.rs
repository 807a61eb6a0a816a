//! A model of mlapi in a form that other programs run: the text of LightGBM, or a query in standard SQL.
//!
//! Called by `mlapi export` alone. What a form cannot say is refused by its name, never approximated.

mod lightgbm;
mod sql;

use anyhow::{Result, bail};

use crate::model::Model;
use crate::model::pipeline::Member;
use crate::model::target_transform::TargetTransform;

/// A form that a model is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The text of a LightGBM model, which LightGBM, treelite, Triton's tree server and shap read.
    Lightgbm,
    /// A query in standard SQL.
    Sql,
}

/// The text of a model in another form.
///
/// # Errors
/// A model that the form cannot say, with what keeps it from that.
pub fn export(model: &Model, form: Form) -> Result<String> {
    let Some(member) = model.pipeline.only_member() else {
        bail!(
            "the model is an ensemble of {} models, and the form holds one; train with --no-ensemble or name an --algorithm",
            model.pipeline.members.len()
        )
    };
    match form {
        Form::Lightgbm => lightgbm::text(model, member),
        Form::Sql => sql::query(model, member),
    }
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
