//! Operators on texts: cutting them into words, changing their case, and counting their terms.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::proto::NodeDef;
use super::step::{Outer, Run, one};
use super::tensor::{Data, Tensor, n_elements};

/// Stands between the words of a term, which cannot hold it.
const BETWEEN: char = '\u{0}';

/// The terms that a row of words may have: their number, or their presence, times their weights.
pub(super) fn tf_idf(node: &NodeDef, _: &Outer) -> Result<Run> {
    let count = |name: &str, default: i64| -> Result<usize> {
        let n = usize::try_from(node.int(name, default)).ok().filter(|&n| n <= 1000);
        n.with_context(|| format!("{name} is out of range"))
    };
    let (least, most, skip) =
        (count("min_gram_length", 1)?, count("max_gram_length", 1)?, count("max_skip_count", 0)?);
    let mode = node.text("mode", "TF").to_string();
    ensure!(["TF", "IDF", "TFIDF"].contains(&mode.as_str()), "the mode {mode:?} is not known");
    let (starts, indexes) = (node.ints("ngram_counts"), node.ints("ngram_indexes"));
    let weights: Vec<f32> = node.floats("weights").to_vec();
    ensure!(weights.is_empty() || weights.len() == indexes.len(), "it has no weight for every term");
    let texts = node.texts("pool_strings");
    let words: Vec<Arc<str>> = match texts {
        [] => node.ints("pool_int64s").iter().map(|word| word.to_string().into()).collect(),
        texts => texts.to_vec(),
    };
    let mut terms: Vec<HashMap<String, usize>> = vec![HashMap::new(); starts.len()];
    let (mut n_terms, mut width) = (0, 0);
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).map_or(Ok(words.len()), |&end| usize::try_from(end))?;
        let of_length = words.get(usize::try_from(start)?..end).context("its terms are cut off")?;
        ensure!(of_length.len() % (i + 1) == 0, "its terms are cut off");
        for term in of_length.chunks_exact(i + 1) {
            let at = indexes.get(n_terms).context("a term has no index")?;
            let at = usize::try_from(*at)
                .ok()
                .filter(|&at| at < indexes.len())
                .context("the index of a term is out of range")?;
            width = width.max(at + 1);
            terms[i].insert(term.join(BETWEEN.encode_utf8(&mut [0; 4])), n_terms);
            n_terms += 1;
        }
    }
    ensure!(
        n_terms > 0 && n_terms == indexes.len() && least >= 1 && most >= least,
        "it has {} indices for {n_terms} terms",
        indexes.len()
    );
    let places: Vec<usize> = indexes.iter().map(|&at| at as usize).collect();
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let (rows, n) = x.matrix();
        let numbers;
        let words: &[Arc<str>] = match &x.data {
            Data::Text(words) => words,
            _ => {
                numbers = x.ints()?.iter().map(|word| word.to_string().into()).collect::<Vec<_>>();
                &numbers
            }
        };
        let mut out = vec![0.0_f32; n_elements(&[rows, width])?];
        let mut term = String::new();
        for (words, out) in words.chunks_exact(n.max(1)).zip(out.chunks_exact_mut(width)) {
            for length in least..=most {
                let Some(known) = terms.get(length - 1) else { continue };
                // Words of a term lie up to `skip` words apart; a single word has no such distance.
                for step in 1..=(if length == 1 { 1 } else { skip + 1 }) {
                    let reach = (length - 1) * step;
                    inputs.budget.spend(words.len())?;
                    for first in 0..words.len().saturating_sub(reach) {
                        term.clear();
                        for i in 0..length {
                            if i > 0 {
                                term.push(BETWEEN);
                            }
                            term.push_str(&words[first + i * step]);
                        }
                        if let Some(&at) = known.get(&term) {
                            let weight = weights.get(at).copied().unwrap_or(1.0);
                            let out = &mut out[places[at]];
                            *out = match mode.as_str() {
                                "TF" => *out + 1.0,
                                "IDF" => weight,
                                _ => *out + weight,
                            };
                        }
                    }
                }
            }
        }
        let shape = if x.shape.len() < 2 { vec![width] } else { vec![rows, width] };
        one(Tensor::f32(&shape, out))
    }))
}

/// A set of characters.
#[derive(Debug, Clone)]
struct Class {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Class {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|&(low, high)| low <= c && c <= high) != self.negated
    }
}

/// A regular expression as far as exporters write them: sets of characters, each repeated.
#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// The end or the beginning of a word.
    Boundary,
    /// Characters of a set, at least so many and at most so many.
    Repeated(Class, usize, usize),
}

/// The letters, digits and underscore that a word is made of.
const WORD: [(char, char); 4] = [('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let refuse = || {
            anyhow::anyhow!(
                "the regular expression {text:?} is not read; sets of characters such as [a-zA-Z0-9_]+ are"
            )
        };
        let escaped = |c: char| -> Result<Class> {
            Ok(match c {
                'w' => Class { ranges: WORD.to_vec(), negated: false },
                'W' => Class { ranges: WORD.to_vec(), negated: true },
                'd' => Class { ranges: vec![('0', '9')], negated: false },
                's' => Class { ranges: " \t\n\r\u{c}".chars().map(|c| (c, c)).collect(), negated: false },
                'n' => Class { ranges: vec![('\n', '\n')], negated: false },
                't' => Class { ranges: vec![('\t', '\t')], negated: false },
                c if !c.is_alphanumeric() => Class { ranges: vec![(c, c)], negated: false },
                _ => return Err(refuse()),
            })
        };
        // Marks that words are those of Unicode say nothing to this matcher, which knows the set of RE2 alone.
        let body = text.strip_prefix("(?u)").unwrap_or(text);
        let mut rest = body.chars().peekable();
        let mut parts = Vec::new();
        while let Some(c) = rest.next() {
            let class = match c {
                '\\' => match rest.next().ok_or_else(refuse)? {
                    'b' => {
                        parts.push(Part::Boundary);
                        continue;
                    }
                    c => escaped(c)?,
                },
                '[' => {
                    let negated = rest.next_if_eq(&'^').is_some();
                    let mut class = Class { ranges: Vec::new(), negated };
                    loop {
                        let mut c = rest.next().ok_or_else(refuse)?;
                        if c == ']' {
                            break;
                        }
                        if c == '\\' {
                            let inner = escaped(rest.next().ok_or_else(refuse)?)?;
                            if inner.negated {
                                return Err(refuse());
                            }
                            if inner.ranges.len() > 1 || rest.peek() != Some(&'-') {
                                class.ranges.extend(inner.ranges);
                                continue;
                            }
                            c = inner.ranges[0].0;
                        }
                        let mut high = c;
                        if rest.next_if_eq(&'-').is_some() {
                            match rest.next().ok_or_else(refuse)? {
                                ']' => {
                                    class.ranges.extend([(c, c), ('-', '-')]);
                                    break;
                                }
                                end => high = end,
                            }
                        }
                        class.ranges.push((c, high));
                    }
                    class
                }
                '.' => Class { ranges: vec![('\n', '\n')], negated: true },
                '(' | ')' | '|' | '^' | '$' | '*' | '+' | '?' | '{' => return Err(refuse()),
                c => Class { ranges: vec![(c, c)], negated: false },
            };
            let (least, most) = match rest.peek() {
                Some('+') => (1, usize::MAX),
                Some('*') => (0, usize::MAX),
                Some('?') => (0, 1),
                Some('{') => {
                    let inner: String = rest.by_ref().skip(1).take_while(|&c| c != '}').collect();
                    let number = |text: &str| text.parse::<usize>().map_err(|_| refuse());
                    let bounds = match inner.split_once(',') {
                        None => (number(&inner)?, number(&inner)?),
                        Some((least, "")) => (number(least)?, usize::MAX),
                        Some((least, most)) => (number(least)?, number(most)?),
                    };
                    parts.push(Part::Repeated(class, bounds.0, bounds.1));
                    continue;
                }
                _ => (1, 1),
            };
            if (least, most) != (1, 1) {
                rest.next();
            }
            parts.push(Part::Repeated(class, least, most));
        }
        ensure!(!parts.is_empty() && parts.len() <= 32, refuse());
        Ok(Self { parts })
    }

    /// How many characters match from `at` on; the longest of each part first.
    fn matches(&self, parts: &[Part], text: &[char], at: usize, budget: &mut usize) -> Option<usize> {
        *budget = budget.checked_sub(1)?;
        let Some((part, rest)) = parts.split_first() else { return Some(at) };
        let is_word = |i: Option<usize>| {
            let c = i.and_then(|i| text.get(i));
            c.is_some_and(|&c| WORD.iter().any(|&(low, high)| low <= c && c <= high))
        };
        match part {
            Part::Boundary => {
                let is_boundary = is_word(at.checked_sub(1)) != is_word(Some(at));
                if is_boundary { self.matches(rest, text, at, budget) } else { None }
            }
            Part::Repeated(class, least, most) => {
                let run = text[at..].iter().take(*most).take_while(|&&c| class.has(c)).count();
                (*least..=run).rev().find_map(|n| self.matches(rest, text, at + n, budget))
            }
        }
    }

    /// The parts of a text that match, one behind the other.
    fn find_all(&self, text: &str) -> Vec<String> {
        let text: Vec<char> = text.chars().collect();
        let (mut found, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let mut budget = 100_000;
            match self.matches(&self.parts, &text, at, &mut budget) {
                Some(end) if end > at => {
                    found.push(text[at..end].iter().collect());
                    at = end;
                }
                _ => at += 1,
            }
        }
        found
    }
}

pub(super) fn tokenizer(node: &NodeDef, _: &Outer) -> Result<Run> {
    let pad: Arc<str> = node.text("pad_value", "").into();
    let least = usize::try_from(node.int("mincharnum", 1)).unwrap_or(0);
    ensure!(node.int("mark", 0) == 0, "marks of beginning and end are not read");
    let separators = node.texts("separators");
    let expression = node.text("tokenexp", "");
    let (pattern, separators) = match (expression, separators) {
        ("", []) => bail!("it has neither separators nor an expression"),
        // No separator but the empty one: every character is a word.
        ("", [only]) if only.is_empty() => (Some(Pattern::parse(".")?), Vec::new()),
        ("", separators) => {
            let patterns: Vec<Pattern> =
                separators.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
            (None, patterns)
        }
        (expression, _) => (Some(Pattern::parse(expression)?), Vec::new()),
    };
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let words = |text: &Arc<str>| -> Vec<Arc<str>> {
            let found: Vec<String> = match &pattern {
                Some(pattern) => pattern.find_all(text),
                None => {
                    let mut parts = vec![text.to_string()];
                    for separator in &separators {
                        parts = parts.iter().flat_map(|part| split(part, separator)).collect();
                    }
                    parts
                }
            };
            found.into_iter().filter(|word| word.chars().count() >= least.max(1)).map(Arc::from).collect()
        };
        let rows: Vec<Vec<Arc<str>>> = x.texts()?.iter().map(words).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut shape = x.shape.clone();
        shape.push(longest);
        let mut all = Vec::with_capacity(n_elements(&shape)?);
        for row in rows {
            let missing = longest - row.len();
            all.extend(row);
            all.extend(std::iter::repeat_n(Arc::clone(&pad), missing));
        }
        one(Tensor::new(shape, Data::Text(all)))
    }))
}

/// The parts of a text between the matches of a pattern.
fn split(text: &str, separator: &Pattern) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let mut budget = 100_000;
        match separator.matches(&separator.parts, &text, at, &mut budget) {
            Some(end) if end > at => {
                parts.push(text[start..at].iter().collect());
                (start, at) = (end, end);
            }
            _ => at += 1,
        }
    }
    parts.push(text[start..].iter().collect());
    parts
}

pub(super) fn normalizer(node: &NodeDef, _: &Outer) -> Result<Run> {
    let case = node.text("case_change_action", "NONE").to_string();
    let exact = node.int("is_case_sensitive", 0) != 0;
    let fold = move |text: &str| if exact { text.to_string() } else { text.to_lowercase() };
    let stop: Vec<String> = node.texts("stopwords").iter().map(|word| fold(word)).collect();
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let kept = x.texts()?.iter().filter(|text| stop.is_empty() || !stop.contains(&fold(text)));
        let changed = |text: &Arc<str>| match case.as_str() {
            "LOWER" => text.to_lowercase().into(),
            "UPPER" => text.to_uppercase().into(),
            _ => Arc::clone(text),
        };
        let mut texts: Vec<Arc<str>> = kept.map(changed).collect();
        if stop.is_empty() {
            return one(Tensor::new(x.shape.clone(), Data::Text(texts)));
        }
        // Words are taken out of one list alone, as the shape says nothing of a second.
        ensure!(x.shape.len() < 2 || x.shape[0] == 1, "stop words are taken out of one list alone");
        if texts.is_empty() {
            texts.push("".into());
        }
        let shape = if x.shape.len() < 2 { vec![texts.len()] } else { vec![1, texts.len()] };
        one(Tensor::new(shape, Data::Text(texts)))
    }))
}
