//! Contributions in words.

use super::explanation::Explanation;
use crate::data::cells::schema::Schema;
use crate::names;

/// The `n` largest contributions in words, those against the label included: `income 52000 speaks for yes`. `values` are
/// those of the row, in the order of the schema.
pub fn reasons(
    schema: &Schema,
    values: &[serde_json::Value],
    explanation: &Explanation,
    n: usize,
) -> Vec<String> {
    let target = &schema.target;
    let reason = |feature: usize| {
        let name = &schema.features[feature].name;
        let value = match &values[feature] {
            missing @ serde_json::Value::Null => format!("{name} ({})", names::value(missing)),
            value => format!("{name} {}", names::value(value)),
        };
        let is_for = explanation.contributions[feature] > 0.0;
        match explanation.label.and_then(|label| target.labels.get(label)) {
            Some(label) if is_for => format!("{value} speaks for {label}"),
            Some(label) => format!("{value} speaks against {label}"),
            None if is_for => format!("{value} raises {}", target.name),
            None => format!("{value} lowers {}", target.name),
        }
    };
    explanation.largest().into_iter().take(n).map(reason).collect()
}
