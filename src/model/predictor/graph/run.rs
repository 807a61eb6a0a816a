//! A graph as a list of steps: names become places, constants are worked out once, and what nothing asks for is left out.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::operators;
use super::proto::{GraphDef, NodeDef};
use super::shape::joined;
use super::step::{Budget, Inputs, Outer, Run};
use super::tensor::{Data, Tensor, Value, each_kind, n_elements};

/// Elements that may be there at a time, and that constants may be made of.
const MAX_LIVE: usize = 1 << 26;

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
        let run = if node.op == "Scan" { scan(node, outer)? } else { operators::find(node, outer)? };
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

/// Whether a graph subtracts what is scanned from each row of its state and adds up the squares, as skl2onnx writes the
/// distances of nearest neighbours.
fn adds_up_squares(body: &GraphDef) -> bool {
    let ([rows, slice], [same, sums]) = (&body.inputs[..], &body.outputs[..]) else { return false };
    let is_same = |name: &str, of: &str| {
        name == of
            || body
                .nodes
                .iter()
                .any(|node| node.op == "Identity" && node.outputs == [name] && node.inputs == [of])
    };
    let sums_up = |node: &&NodeDef| {
        let axes = node.inputs.get(1).and_then(|name| body.constants.get(name));
        let axes = axes.map_or(node.ints("axes"), |axes| axes.ints().unwrap_or_default());
        node.op == "ReduceSumSquare" && axes == [1] && node.int("keepdims", 1) == 0
    };
    let Some(summed) = body.nodes.iter().find(sums_up) else { return false };
    let ([difference, ..], [output]) = (&summed.inputs[..], &summed.outputs[..]) else { return false };
    let differs = |node: &NodeDef| {
        node.op == "Sub"
            && node.outputs.first() == Some(difference)
            && node.inputs.iter().eq([&rows.name, &slice.name])
    };
    is_same(&same.name, &rows.name) && is_same(&sums.name, output) && body.nodes.iter().any(differs)
}

/// What such a graph makes of two matrices of numbers in single precision: a row for each row of the second. `None` if they
/// are something else.
fn sums_of_squares(rows: &Tensor, others: &Tensor, budget: &Budget) -> Result<Option<Tensor>> {
    let (Data::F32(a), Data::F32(b)) = (&rows.data, &others.data) else { return Ok(None) };
    let (&[n_rows, width], &[n_others, same]) = (&rows.shape[..], &others.shape[..]) else { return Ok(None) };
    if width != same || width == 0 {
        return Ok(None);
    }
    let n = n_elements(&[n_others, n_rows])?;
    budget.spend(n.saturating_mul(width))?;
    let mut sums = Vec::with_capacity(n);
    for b in b.chunks_exact(width) {
        sums.extend(a.chunks_exact(width).map(|a| {
            let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum::<f64>() as f32
        }));
    }
    Ok(Some(Tensor::f32(&[n_others, n_rows], sums)))
}

/// Runs a graph once for each slice of some inputs, along their first axis.
fn scan(node: &NodeDef, outer: &Outer) -> Result<Run> {
    let body = node.graph("body").context("it has no graph")?;
    let n_scanned = usize::try_from(node.int("num_scan_inputs", 0)).context("it scans no inputs")?;
    ensure!(outer.version("") >= 9 && n_scanned > 0, "the Scan of operator set 8 is not read");
    for name in ["scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions"] {
        ensure!(node.ints(name).iter().all(|&x| x == 0), "{name} other than 0 are not read");
    }
    let outputs: Vec<&str> = body.outputs.iter().map(|output| output.name.as_str()).collect();
    let program = Program::new(body, &outputs, &Outer { opsets: outer.opsets, is_inner: true })?;
    let n_given = node.inputs.len();
    let n_states = n_given.checked_sub(n_scanned).context("it has too few inputs")?;
    ensure!(
        program.n_inputs() == n_given
            && outputs.len() >= n_states
            && captured_names(body).len() == program.captured.len(),
        "its graph takes other inputs than it has"
    );
    let n_outputs = outputs.len();
    let squares = n_states == 1 && n_outputs == 2 && adds_up_squares(body);
    Ok(Box::new(move |inputs| {
        if let (true, [Some(rows), Some(others)]) = (squares, inputs.values)
            && let Some(sums) = sums_of_squares(rows, others, inputs.budget)?
        {
            return Ok(vec![Arc::clone(rows), Arc::new(sums)]);
        }
        let mut states: Vec<Value> = (0..n_states).map(|i| inputs.get(i).cloned()).collect::<Result<_>>()?;
        let scanned: Vec<&Value> = (n_states..n_given).map(|i| inputs.get(i)).collect::<Result<_>>()?;
        let captured: Vec<&Value> =
            (n_given..n_given + program.captured.len()).map(|i| inputs.get(i)).collect::<Result<_>>()?;
        let length = |value: &&Value| value.shape.first().copied().unwrap_or(0);
        let n = scanned.first().map_or(0, length);
        ensure!(scanned.iter().all(|value| length(value) == n), "the inputs that it scans differ in length");
        let mut slices: Vec<Vec<Value>> = vec![Vec::with_capacity(n); n_outputs - n_states];
        for i in 0..n {
            let mut given = states.clone();
            for value in &scanned {
                let shape = value.shape[1..].to_vec();
                let width: usize = shape.iter().product();
                let part = each_kind!(&value.data, v => v[i * width..(i + 1) * width].to_vec());
                given.push(Arc::new(Tensor::new(shape, part)));
            }
            let mut made = program.run(&given, &captured, inputs.budget)?;
            let of_slices = made.split_off(n_states);
            states = made;
            for (slices, mut value) in slices.iter_mut().zip(of_slices) {
                let shape = [&[1], value.shape.as_slice()].concat();
                Arc::make_mut(&mut value).shape = shape;
                slices.push(value);
            }
        }
        for slices in &slices {
            states.push(match slices.as_slice() {
                [] => Arc::new(Tensor::f32(&[0], Vec::new())),
                slices => Arc::new(joined(&slices.iter().collect::<Vec<_>>(), 0)?),
            });
        }
        Ok(states)
    }))
}
