//! A graph as a list of steps: names become places, constants are worked out once, and what nothing asks for is left out.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::operators;
use super::proto::{GraphDef, NodeDef};
use super::tensor::{Tensor, Value, n_elements};

/// Elements and products that a run may work out for each row: a graph within a graph is run as often as its input is long.
const WORK: u64 = 1 << 28;

/// Elements that may be there at a time, and that constants may be made of.
const MAX_LIVE: usize = 1 << 26;

/// What is left of the work that a run may do.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    /// For a run of so many rows.
    pub(crate) fn of_rows(n: usize) -> Self {
        Self(Cell::new(WORK.saturating_mul(1 + n as u64)))
    }

    /// Takes from the budget.
    ///
    /// # Errors
    /// More than is left.
    pub(crate) fn spend(&self, work: usize) -> Result<()> {
        match self.0.get().checked_sub(work as u64) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => bail!("the graph takes too much work"),
        }
    }
}

/// The inputs of a step; those that are left out are `None`.
pub(crate) struct Inputs<'a> {
    values: &'a [Option<&'a Value>],
    pub(crate) budget: &'a Budget,
}

impl<'a> Inputs<'a> {
    /// An input that has to be there.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn get(&self, i: usize) -> Result<&'a Value> {
        self.optional(i).with_context(|| format!("input {i} is missing"))
    }

    /// An input that may be left out.
    pub(crate) fn optional(&self, i: usize) -> Option<&'a Value> {
        self.values.get(i).copied().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

/// What a step does.
pub(crate) type Run = Box<dyn Fn(&Inputs) -> Result<Vec<Value>> + Send + Sync>;

/// One value as the only output.
pub(crate) fn one(tensor: Tensor) -> Result<Vec<Value>> {
    Ok(vec![Arc::new(tensor)])
}

struct Step {
    run: Run,
    title: String,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    /// Places that nothing reads after this step.
    done: Vec<usize>,
}

/// A graph that can be run.
pub(crate) struct Program {
    steps: Vec<Step>,
    constants: Vec<Option<Value>>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    /// Places of values of the graph around this one, and their names there.
    pub(crate) captured: Vec<(String, usize)>,
}

/// What a graph within a graph needs of that around it.
#[derive(Default)]
pub(crate) struct Outer<'a> {
    pub(crate) opsets: Option<&'a BTreeMap<String, i64>>,
    /// Whether names that are not its own are those of a graph around it.
    pub(crate) is_inner: bool,
}

impl Outer<'_> {
    /// The version of a set of operators.
    pub(crate) fn version(&self, domain: &str) -> i64 {
        self.opsets.and_then(|opsets| opsets.get(domain)).copied().unwrap_or(1)
    }
}

/// The names that an inner graph takes from around it are further inputs of its node.
pub(crate) fn captured_names(graph: &GraphDef) -> Vec<String> {
    let mut own: Vec<&str> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
    own.extend(graph.constants.keys().map(String::as_str));
    own.extend(graph.nodes.iter().flat_map(|node| &node.outputs).map(String::as_str));
    let mut wanted: Vec<String> = graph.outputs.iter().map(|output| output.name.clone()).collect();
    for node in &graph.nodes {
        wanted.extend(node.inputs.iter().cloned());
        if let Some(inner) = node.graph("body") {
            wanted.extend(captured_names(inner));
        }
    }
    wanted.retain(|name| !name.is_empty() && !own.contains(&name.as_str()));
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

impl Program {
    /// Makes a list of steps of a graph, for the outputs of these names.
    ///
    /// # Errors
    /// An operator that is not known, attributes that it does not have, values that nothing makes, a cycle.
    pub(crate) fn new(graph: &GraphDef, outputs: &[&str], outer: &Outer) -> Result<Self> {
        let mut makers: HashMap<&str, usize> = HashMap::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                let twice = makers.insert(output, i);
                ensure!(twice.is_none(), "two nodes make {output:?}");
            }
        }
        let mut program = Self {
            steps: Vec::new(),
            constants: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            captured: Vec::new(),
        };
        let mut places: HashMap<String, usize> = HashMap::new();
        // Old files list their constants among the inputs as well.
        for input in graph.inputs.iter().filter(|input| !graph.constants.contains_key(&input.name)) {
            let place = program.place(None);
            program.inputs.push(place);
            places.insert(input.name.clone(), place);
        }
        for (name, constant) in &graph.constants {
            let place = program.place(Some(Arc::clone(constant)));
            places.insert(name.clone(), place);
        }
        if outer.is_inner {
            for name in captured_names(graph) {
                let place = program.place(None);
                program.captured.push((name.clone(), place));
                places.insert(name, place);
            }
        }
        let order = order(graph, outputs, &makers)?;
        let budget = Budget::of_rows(1);
        let mut n_made = 0;
        for i in order {
            let node = &graph.nodes[i];
            program
                .add(node, &mut places, outer, &budget, &mut n_made)
                .with_context(|| format!("the node {}", node.title()))?;
        }
        for name in outputs {
            let place = places.get(*name).with_context(|| format!("nothing makes the output {name:?}"))?;
            program.outputs.push(*place);
        }
        program.let_go();
        Ok(program)
    }

    fn place(&mut self, constant: Option<Value>) -> usize {
        self.constants.push(constant);
        self.constants.len() - 1
    }

    fn add(
        &mut self,
        node: &NodeDef,
        places: &mut HashMap<String, usize>,
        outer: &Outer,
        budget: &Budget,
        n_made: &mut usize,
    ) -> Result<()> {
        let mut names = node.inputs.clone();
        if let Some(body) = node.graph("body") {
            names.extend(captured_names(body));
        }
        let inputs = names.iter().map(|name| match name.as_str() {
            "" => Ok(None),
            name => places
                .get(name)
                .copied()
                .map(Some)
                .with_context(|| format!("nothing makes its input {name:?}")),
        });
        let inputs: Vec<Option<usize>> = inputs.collect::<Result<_>>()?;
        let run = operators::find(node, outer)?;
        // What depends on constants alone is a constant.
        let values: Option<Vec<Option<&Value>>> = inputs
            .iter()
            .map(|place| match place {
                Some(place) => self.constants[*place].as_ref().map(Some),
                None => Some(None),
            })
            .collect();
        let made = match values {
            Some(values) => Some(run(&Inputs { values: &values, budget })?),
            None => None,
        };
        let mut outputs = Vec::new();
        for (i, name) in node.outputs.iter().enumerate() {
            let constant = made.as_ref().and_then(|made| made.get(i)).cloned();
            *n_made += constant.as_ref().map_or(0, |constant| constant.len());
            ensure!(*n_made <= MAX_LIVE, "its constants are made of more than {MAX_LIVE} elements");
            let place = (!name.is_empty()).then(|| self.place(constant));
            outputs.push(place);
            if let Some(place) = place {
                places.insert(name.clone(), place);
            }
        }
        if made.is_none() {
            self.steps.push(Step { run, title: node.title(), inputs, outputs, done: Vec::new() });
        }
        Ok(())
    }

    /// Finds where each value is read for the last time.
    fn let_go(&mut self) {
        let mut seen = vec![false; self.constants.len()];
        self.outputs.iter().for_each(|&place| seen[place] = true);
        for step in self.steps.iter_mut().rev() {
            for &place in step.inputs.iter().chain(&step.outputs).flatten() {
                if !std::mem::replace(&mut seen[place], true) {
                    step.done.push(place);
                }
            }
        }
    }

    /// How many inputs it has.
    pub(crate) fn n_inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Runs the graph: the values of its outputs.
    ///
    /// # Errors
    /// Values that do not fit an operator, with the node.
    pub(crate) fn run(&self, inputs: &[Value], captured: &[&Value], budget: &Budget) -> Result<Vec<Value>> {
        let mut values: Vec<Option<Value>> = vec![None; self.constants.len()];
        for (&place, value) in self.inputs.iter().zip(inputs) {
            values[place] = Some(Arc::clone(value));
        }
        for ((_, place), value) in self.captured.iter().zip(captured) {
            values[*place] = Some(Arc::clone(value));
        }
        let constants = &self.constants;
        let mut n_live = values.iter().flatten().map(|value| value.len()).sum::<usize>();
        for step in &self.steps {
            let found = |place: &Option<usize>| {
                place.and_then(|place| values[place].as_ref().or(constants[place].as_ref()))
            };
            let made = {
                let taken: Vec<Option<&Value>> = step.inputs.iter().map(found).collect();
                let made = (step.run)(&Inputs { values: &taken, budget });
                made.with_context(|| format!("the node {}", step.title))?
            };
            for (place, value) in step.outputs.iter().zip(made) {
                if let Some(place) = place {
                    n_elements(&value.shape)?;
                    budget.spend(1 + value.len())?;
                    n_live += value.len();
                    values[*place] = Some(value);
                }
            }
            ensure!(n_live <= MAX_LIVE, "more than {MAX_LIVE} elements are needed at a time");
            for &place in &step.done {
                n_live = n_live.saturating_sub(values[place].take().map_or(0, |value| value.len()));
            }
        }
        let output = |&place: &usize| values[place].clone().or_else(|| constants[place].clone());
        self.outputs.iter().map(output).collect::<Option<_>>().context("an output was not made")
    }
}

/// The nodes that the outputs need, each behind those that it needs; without recursion, which a long chain would exhaust.
fn order(graph: &GraphDef, outputs: &[&str], makers: &HashMap<&str, usize>) -> Result<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; graph.nodes.len()];
    let mut order = Vec::new();
    let mut stack: Vec<usize> = outputs.iter().rev().filter_map(|name| makers.get(name).copied()).collect();
    while let Some(&i) = stack.last() {
        match state[i] {
            State::Done => {
                stack.pop();
            }
            State::Open => {
                state[i] = State::Done;
                order.push(i);
                stack.pop();
            }
            State::New => {
                state[i] = State::Open;
                let node = &graph.nodes[i];
                let inner = node.graph("body").map(captured_names).unwrap_or_default();
                for name in node.inputs.iter().chain(&inner) {
                    let Some(&maker) = makers.get(name.as_str()) else { continue };
                    ensure!(state[maker] != State::Open, "the node {} needs its own output", node.title());
                    if state[maker] == State::New {
                        stack.push(maker);
                    }
                }
            }
        }
    }
    Ok(order)
}
