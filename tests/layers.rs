//! The plan of the house, held: `cli -> {report, server, import, export, model::learn} -> predict -> model -> data`; the files in
//! `src/` itself are the ground; metrics import nothing; nothing but the command line and learn itself knows of
//! learn. Within a folder, no file uses one that uses it in turn. Long files say why they are long.
//!
//! The tests read paths (`crate::…`, `super::…`, `self::…`) in the text of the program. Unit tests and comments do
//! not count: a test may set up what it likes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

/// The names of `data` that the command line may use: the types of a schema, in which options are spelled.
const CLI_MAY_NAME: [&str; 4] = ["ColumnType", "NullTokens", "Options", "Task"];

/// A file with more lines of code than this says why in its first comment, in these words.
const LONG: usize = 600;
const LONG_BECAUSE: &str = "Longer than 600 lines because";

fn may_use(from: &str, to: &str) -> bool {
    let allowed: &[&str] = match from {
        "data" => &[],
        "model" => &["data", "metrics"],
        "learn" => &["model", "data", "metrics"],
        "predict" => &["model", "data"],
        "import" | "export" => &["model", "data"],
        "report" => &["predict", "model", "data"],
        "server" => &["report", "predict", "model", "data"],
        "cli" => &["report", "server", "import", "export", "predict", "learn", "model", "data"],
        _ => &[],
    };
    from == to || allowed.contains(&to)
}

/// A name that one module takes from another: of `module`, or of what lies in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    module: String,
    name: String,
}

struct Module {
    /// Below `src/`, with `/`.
    file: String,
    /// Without comments and unit tests.
    code: String,
    /// The comment that the file opens with.
    opening: String,
    uses: Vec<Use>,
}

/// The modules of the program by their path, such as `data::read::csv`; the crate itself is the empty path.
struct House(BTreeMap<String, Module>);

impl House {
    fn of_this_crate() -> Self {
        fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(&path, found);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    found.push(path);
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        collect(&root, &mut paths);
        assert!(paths.len() > 100);
        let texts = paths.iter().map(|path| {
            let file = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            (file, fs::read_to_string(path).unwrap())
        });
        Self::read(texts.collect())
    }

    /// Reads files, given as pairs of path below `src/` and text.
    fn read(files: Vec<(String, String)>) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests = BTreeSet::new();
        for (file, text) in files {
            if file == "main.rs" {
                continue;
            }
            let path = file.trim_end_matches(".rs").replace('/', "::");
            let path = path.strip_suffix("::mod").unwrap_or(&path);
            let path = if path == "lib" { "" } else { path }.to_string();
            let opening: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
            let (code, test_modules) = without_tests(&text);
            tests.extend(test_modules.into_iter().map(|name| join(&path, &name)));
            modules.insert(path, Module { file, code, opening: opening.join("\n"), uses: Vec::new() });
        }
        modules.retain(|path, _| !tests.contains(path));
        let mut house = Self(modules);
        let uses: Vec<_> = house.0.keys().map(|module| house.uses_of(module)).collect();
        for (module, uses) in house.0.values_mut().zip(uses) {
            module.uses = uses;
        }
        house
    }

    /// What `module` uses of other modules, re-exports followed to where the name is defined.
    fn uses_of(&self, module: &str) -> Vec<Use> {
        let mut found = BTreeSet::new();
        for path in paths(&self.0[module].code) {
            let resolved = self.resolve(module, &path, 0);
            if resolved.module != module {
                found.insert(resolved);
            }
        }
        found.into_iter().collect()
    }

    fn resolve(&self, from: &str, path: &[String], depth: usize) -> Use {
        let mut at = from.to_string();
        let mut rest = path;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" => at = String::new(),
                "super" => at = at.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_string()),
                "self" => {}
                name if self.0.contains_key(&join(&at, name)) => at = join(&at, name),
                _ => break,
            }
            rest = others;
        }
        let Some(name) = rest.first() else {
            let name = at.rsplit("::").next().unwrap_or_default().to_string();
            return Use { module: at, name };
        };
        if depth < 5
            && let Some(re_exported) = self.re_export(&at, name)
        {
            return self.resolve(&at, &re_exported, depth + 1);
        }
        Use { module: at, name: name.clone() }
    }

    /// The path in a `pub use` of `module` that ends in `name`.
    fn re_export(&self, module: &str, name: &str) -> Option<Vec<String>> {
        let code = &self.0.get(module)?.code;
        let statements = code.split(';').filter_map(|statement| {
            let at = statement.find("pub use ").or_else(|| statement.find("pub(crate) use "))?;
            Some(statement[at..].split_once("use ")?.1.trim())
        });
        let mut paths = statements.flat_map(tree);
        paths.find(|path| path.len() > 1 && path.last().is_some_and(|last| last == name))
    }

    fn file(&self, module: &str) -> &str {
        &self.0[module].file
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_string() } else { format!("{module}::{name}") }
}

/// The code of a file without comments and unit tests, and the modules declared in it that are tests as a whole.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let mut code = String::new();
    let mut test_modules = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let Some(next) = lines.peek() else { break };
            let name = next.trim().trim_start_matches("pub(crate) ").strip_prefix("mod ");
            match name.and_then(|name| name.strip_suffix(';')) {
                Some(name) => test_modules.push(name.to_string()),
                None if name.is_some() => break,
                None => {}
            }
            // A declaration, or an import over several lines.
            if name.is_some() || next.trim_start().starts_with("use ") {
                while lines.next().is_some_and(|line| !line.contains(';')) {}
            }
            continue;
        }
        code.push_str(line.split("//").next().unwrap());
        code.push('\n');
    }
    (code, test_modules)
}

/// Every path in `code` that starts with `crate`, `super` or `self`, groups in braces taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                found.extend(tree(&code[at..]));
            }
        }
    }
    found
}

/// The paths of a tree such as `a::{b, c::{d, self}, e as f}` that `text` starts with.
fn tree(text: &str) -> Vec<Vec<String>> {
    let mut rest = text;
    read_tree(&mut rest)
}

fn read_tree(rest: &mut &str) -> Vec<Vec<String>> {
    let mut path = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('{') {
            let mut found = Vec::new();
            *rest = inner.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let before = rest.len();
                found.extend(read_tree(rest).into_iter().map(|tail| [path.clone(), tail].concat()));
                let end = rest.find([',', '}']).unwrap_or(rest.len());
                *rest = rest[end..].trim_start_matches(',').trim_start();
                assert!(rest.len() < before, "a tree of imports that cannot be read: {text}", text = *rest);
            }
            *rest = rest.strip_prefix('}').unwrap_or(rest);
            return found;
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        path.push(rest[..end].to_string());
        *rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(tail) => *rest = tail,
            None => break,
        }
    }
    vec![path]
}

/// The room of a path of modules such as `model::learn::linear`.
fn room(module: &str) -> &str {
    if module.starts_with("model::learn") { "learn" } else { module.split("::").next().unwrap() }
}

/// Edges between nodes, each with the lines that say where it comes from.
type Graph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// A shortest way from `start` back to it.
fn circle(graph: &Graph, start: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.get(node).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut way = vec![start.to_string(), node.to_string()];
                while way.last().is_some_and(|last| last != start) {
                    way.push(came_from[way.last().unwrap().as_str()].to_string());
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

/// The circles of a graph, each node in one of them at most, as lines of `file -> file: names`.
fn circles(graph: &Graph) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in graph.keys() {
        if seen.contains(start) {
            continue;
        }
        if let Some(way) = circle(graph, start) {
            let mut lines = vec![way.join(" -> ")];
            for step in way.windows(2) {
                lines.extend(graph[&step[0]][&step[1]].iter().map(|line| format!("    {line}")));
            }
            seen.extend(way);
            found.push(lines.join("\n"));
        }
    }
    found
}

/// The graph of what lies directly in `folder`, files and folders; its `mod.rs` does not count. What lies in a
/// subfolder counts as the subfolder.
fn graph_of(house: &House, folder: &str) -> Graph {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}::") };
    let node = |module: &str| -> Option<String> {
        let inner = module.strip_prefix(&prefix)?;
        let name = inner.split("::").next().filter(|name| !name.is_empty())?;
        Some(join(folder, name))
    };
    let mut graph = Graph::new();
    for (path, module) in &house.0 {
        let Some(from) = node(path) else { continue };
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for used in &module.uses {
            names.entry(&used.module).or_default().push(&used.name);
        }
        for (used, names) in names {
            let Some(to) = node(used).filter(|to| *to != from) else { continue };
            let line = format!("{} -> {}: {}", module.file, house.file(used), names.join(", "));
            graph.entry(from.clone()).or_default().entry(to).or_default().insert(line);
        }
    }
    graph
}

fn circles_of(house: &House) -> Vec<String> {
    let mut folders: BTreeSet<&str> =
        house.0.keys().filter_map(|m| m.rsplit_once("::")).map(|m| m.0).collect();
    // Which room may use which is said by `may_use`; the model and learn are two of them in one folder.
    folders.remove("");
    folders.iter().flat_map(|folder| circles(&graph_of(house, folder))).collect()
}

#[test]
fn every_use_goes_down_the_house() {
    let house = House::of_this_crate();
    let is_ground =
        |module: &str| house.0.get(module).is_some_and(|found| found.file == format!("{module}.rs"));
    let mut wrong = Vec::new();
    for (path, module) in &house.0 {
        if path.is_empty() {
            continue;
        }
        for used in &module.uses {
            let (from, to) = (room(path), room(&used.module));
            // All may stand on the ground but metrics, which are for the model.
            if !(may_use(from, to) || is_ground(to) && to != "metrics") {
                wrong.push(format!("{} uses {}::{}", module.file, used.module, used.name));
            }
            if is_ground(from) && from != to {
                wrong.push(format!("{} is ground, and uses {}", module.file, used.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_command_line_names_nothing_of_the_data_but_types_of_a_schema() {
    let house = House::of_this_crate();
    let mut wrong = Vec::new();
    for (path, module) in &house.0 {
        for used in &module.uses {
            if room(path) == "cli" && room(&used.module) == "data" && !CLI_MAY_NAME.contains(&&*used.name) {
                wrong.push(format!("{} -> {}: {}", module.file, house.file(&used.module), used.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_and_no_folder_uses_one_that_uses_it_in_turn() {
    let found = circles_of(&House::of_this_crate());
    assert!(found.is_empty(), "{} circles\n\n{}", found.len(), found.join("\n\n"));
}

#[test]
fn a_family_of_learners_names_no_other_and_is_named_by_the_table_alone() {
    const TABLE: &str = "model::learn::algorithm";
    // Whatever else the table names is a family.
    const GROUND: [&str; 2] = ["model::learn::dataset", "model::learn::hyperparameter"];
    let graph = graph_of(&House::of_this_crate(), "model::learn");
    let families: Vec<&String> =
        graph[TABLE].keys().filter(|name| !GROUND.contains(&name.as_str())).collect();
    assert!(families.len() >= 6, "{families:?}");
    let mut wrong = Vec::new();
    for (from, tos) in graph.iter().filter(|(from, _)| *from != TABLE) {
        for family in families.iter().filter(|family| **family != from) {
            wrong.extend(tos.get(*family).into_iter().flatten().cloned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_long_file_says_why_it_is_long() {
    let house = House::of_this_crate();
    let mut wrong = Vec::new();
    for module in house.0.values() {
        let n_lines = module.code.lines().count();
        if n_lines > LONG && !module.opening.contains(LONG_BECAUSE) {
            wrong.push(format!(
                "{}: {n_lines} lines of code; split it, or say \"{LONG_BECAUSE} …\"",
                module.file
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_learn_names_smartcore_and_only_the_terminal_names_indicatif() {
    for (path, module) in &House::of_this_crate().0 {
        let file = &module.file;
        assert!(!module.code.contains("smartcore::") || room(path) == "learn", "{file} names smartcore");
        assert!(!module.code.contains("indicatif::") || file == "cli/term.rs", "{file} names indicatif");
        assert!(module.opening.starts_with("//!"), "{file} does not say what it is for");
    }
}

#[test]
fn circles_are_found_through_folders_groups_and_re_exports() {
    let files = [
        ("lib.rs", "pub mod a;"),
        ("a/mod.rs", "mod one;\nmod two;\nmod three;\n#[cfg(test)]\nmod laws;\npub use two::Two;"),
        ("a/one.rs", "use super::{\n    Two, // re-exported\n    three::{self, deep::Deep},\n};"),
        ("a/two.rs", "// use super::one::One;\nuse std::fmt;"),
        ("a/three/mod.rs", "pub mod deep;"),
        (
            "a/three/deep.rs",
            "fn f() -> crate::a::two::Two {}\n#[cfg(test)]\nmod tests {\n    use super::super::one;\n}",
        ),
        ("a/laws.rs", "use super::one;"),
    ];
    let read = |replaced: &str, text: &str| {
        let text_of = |(file, old): &(&str, &str)| if *file == replaced { text } else { old }.to_string();
        House::read(files.iter().map(|file| (file.0.to_string(), text_of(file))).collect())
    };
    assert_eq!(circles_of(&read("", "")), Vec::<String>::new());

    let two_and_one = circles_of(&read("a/two.rs", "use super::one::{One, Uno};"));
    let expected =
        "a::one -> a::two -> a::one\n    a/one.rs -> a/two.rs: Two\n    a/two.rs -> a/one.rs: One, Uno";
    assert_eq!(two_and_one[0], expected);

    let through_a_folder =
        circles_of(&read("a/three/deep.rs", "use crate::a::two::Two;\nuse super::super::one::f;"));
    assert!(through_a_folder[0].contains("a/three/deep.rs -> a/one.rs: f"), "{through_a_folder:?}");
    assert!(through_a_folder[0].contains("a/one.rs -> a/three/deep.rs: Deep"), "{through_a_folder:?}");
}
