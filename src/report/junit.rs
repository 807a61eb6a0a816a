//! The outcomes of requirements as JUnit XML, which CI systems show as tests.

use std::fmt::Write;

use crate::model::requirement::Outcome;

/// A suite of one test per requirement; without any, of one that the evaluation was made.
pub(crate) fn document(suite: &str, outcomes: &[Outcome]) -> String {
    let evaluated = Outcome { require: "evaluated".into(), met: true, value: None, miss: None };
    let all = if outcomes.is_empty() { std::slice::from_ref(&evaluated) } else { outcomes };
    let failures = all.iter().filter(|outcome| !outcome.met).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\"", all.len());
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n");
    // Writing to a String does not fail.
    let _ = writeln!(out, "  <testsuite name=\"{}\" {counts}>", escaped(suite));
    for outcome in all {
        let head =
            format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(suite), escaped(&outcome.require));
        let _ = match &outcome.miss {
            None => writeln!(out, "{head}/>"),
            Some(miss) => writeln!(
                out,
                "{head}>\n      <failure type=\"requirement\" message=\"{}\"/>\n    </testcase>",
                escaped(miss)
            ),
        };
    }
    out + "  </testsuite>\n</testsuites>\n"
}

/// Text of an attribute; characters that XML does not allow are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_a_test_and_markup_stays_text() {
        let miss = Some("recall[<b>\"&] is 0.5".into());
        let outcomes = [
            Outcome { require: "accuracy>=0.9".into(), met: true, value: Some(0.95), miss: None },
            Outcome { require: "recall[<b>\"&]>0.9".into(), met: false, value: Some(0.5), miss },
        ];
        let found = document("mlapi eval m\u{1}.mlapi", &outcomes);
        assert!(found.contains("<testsuites tests=\"2\" failures=\"1\" errors=\"0\">"), "{found}");
        assert!(found.contains("name=\"accuracy&gt;=0.9\"/>"), "{found}");
        assert!(found.contains("message=\"recall[&lt;b&gt;&quot;&amp;] is 0.5\"/>"), "{found}");
        assert!(found.contains("m\u{fffd}.mlapi"), "{found}");
        assert!(document("s", &[]).contains("tests=\"1\" failures=\"0\""));
    }
}
