//! Graphs written byte by byte: what is read, what is refused, and numbers worked out by hand from the specification.

use super::*;

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut made = vec![number << 3 | 2];
    made.extend(varint(bytes.len() as u64));
    made.extend(bytes);
    made
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut made = Vec::new();
    while value > 127 {
        made.push(value as u8 & 127 | 128);
        value >>= 7;
    }
    made.push(value as u8);
    made
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
    let outputs = outputs.iter().flat_map(|name| field(2, name.as_bytes()));
    let attributes = attributes.iter().flat_map(|attribute| field(5, attribute));
    let made: Vec<u8> = inputs.chain(outputs).chain(field(4, op.as_bytes())).chain(attributes).collect();
    field(1, &made)
}

fn int(name: &str, value: u64) -> Vec<u8> {
    [field(1, name.as_bytes()), number(3, value)].concat()
}

fn int_list(name: &str, value: u64) -> Vec<u8> {
    [field(1, name.as_bytes()), number(8, value)].concat()
}

fn floats(name: &str, values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    [field(1, name.as_bytes()), field(7, &bytes)].concat()
}

fn words(name: &str, values: &[&str]) -> Vec<u8> {
    let values = values.iter().flat_map(|text| field(9, text.as_bytes()));
    field(1, name.as_bytes()).into_iter().chain(values).collect()
}

fn word(name: &str, value: &str) -> Vec<u8> {
    [field(1, name.as_bytes()), field(4, value.as_bytes())].concat()
}

fn constant(name: &str, dims: &[u64], values: &[f32]) -> Vec<u8> {
    let dims = dims.iter().flat_map(|dim| number(1, *dim));
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let made: Vec<u8> =
        dims.chain(number(2, 1)).chain(field(8, name.as_bytes())).chain(field(9, &bytes)).collect();
    field(5, &made)
}

fn info(at: u8, name: &str) -> Vec<u8> {
    field(at, &field(1, name.as_bytes()))
}

fn model(parts: &[Vec<u8>]) -> Vec<u8> {
    let opset = |domain: &str, version| field(8, &[field(1, domain.as_bytes()), number(2, version)].concat());
    [field(7, &parts.concat()), opset("", 17), opset("ai.onnx.ml", 3)].concat()
}

/// Runs a graph of the input `x` and the output `y`.
fn run(parts: &[Vec<u8>], x: Tensor) -> Result<Tensor> {
    let bytes = model(&[parts, &[info(11, "x"), info(12, "y")]].concat());
    let model = proto::read(&bytes)?;
    let made = program(&model, "y")?.run(&[Arc::new(x)], &[], &Budget::of_rows(1))?;
    Ok(Tensor::clone(&made[0]))
}

fn message(parts: &[Vec<u8>]) -> String {
    format!("{:#}", run(parts, Tensor::f32(&[1, 2], vec![1.0, 2.0])).unwrap_err())
}

#[test]
fn nodes_run_in_the_order_that_their_values_need() {
    let parts = [
        node("Add", &["h", "b"], &["y"], &[]),
        node("MatMul", &["x", "w"], &["h"], &[]),
        constant("w", &[2, 1], &[3.0, -1.0]),
        constant("b", &[1], &[0.5]),
        node("Unknown", &["x"], &["nobody needs it"], &[]),
    ];
    let made = run(&parts, Tensor::f32(&[2, 2], vec![1.0, 2.0, 0.0, 4.0])).unwrap();
    assert_eq!(made, Tensor::f32(&[2, 1], vec![1.5, -3.5]));
}

#[test]
fn an_unknown_operator_a_cycle_and_a_missing_value_are_refused_by_name() {
    let unknown = message(&[node("Frobnicate", &["x"], &["y"], &[])]);
    assert!(unknown.contains("Frobnicate") && unknown.contains("TreeEnsembleClassifier"), "{unknown}");
    let circle = [node("Add", &["x", "y"], &["h"], &[]), node("Relu", &["h"], &["y"], &[])];
    assert!(message(&circle).contains("needs its own output"));
    assert!(message(&[node("Relu", &["z"], &["y"], &[])]).contains("nothing makes its input \"z\""));
    let twice = [node("Relu", &["x"], &["y"], &[]), node("Abs", &["x"], &["y"], &[])];
    assert!(message(&twice).contains("two nodes make \"y\""));
}

#[test]
fn shapes_that_claim_more_than_there_is_are_refused_before_anything_is_allocated() {
    let relu = || node("Relu", &["x"], &["y"], &[]);
    let claims = message(&[relu(), constant("w", &[1 << 40, 1 << 40], &[1.0])]);
    assert!(claims.contains("\"w\"") && claims.contains("has 1 elements"), "{claims}");
    let negative = message(&[relu(), constant("w", &[u64::MAX], &[])]);
    assert!(negative.contains("negative"), "{negative}");
    // Graphs may ask for what does not fit in memory.
    let dims: Vec<u8> = [1_u64 << 30, 1 << 30].iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let shape = [number(1, 2), number(2, 7), field(8, b"s"), field(9, &dims)].concat();
    let huge = message(&[field(5, &shape), node("Expand", &["x", "s"], &["y"], &[])]);
    assert!(huge.contains("elements"), "{huge}");
    let outside = [number(1, 1), number(2, 1), field(8, b"w"), number(14, 1)].concat();
    let external = message(&[relu(), field(5, &outside)]);
    assert!(external.contains("second file") && external.contains("\"w\""), "{external}");
}

#[test]
fn graphs_within_graphs_end_somewhere() {
    let mut inner = node("Relu", &["a"], &["b"], &[]);
    for _ in 0..20 {
        let body = [field(1, b"body"), field(6, &inner)].concat();
        inner = node("Scan", &["a"], &["b"], &[body, int("num_scan_inputs", 1)]);
    }
    let bytes = model(&[inner]);
    assert!(proto::read(&bytes).unwrap_err().to_string().contains("8 deep"));
}

#[test]
fn no_byte_makes_the_decoder_or_the_operators_panic() {
    let parts = [
        node("Scaler", &["x"], &["h"], &[floats("offset", &[0.5, 1.0]), floats("scale", &[2.0, 3.0])]),
        node("Gemm", &["h", "w", "b"], &["g"], &[int("transB", 1)]),
        node("Softmax", &["g"], &["y"], &[]),
        constant("w", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        constant("b", &[3], &[0.0, 1.0, 2.0]),
        info(11, "x"),
        info(12, "y"),
    ];
    let bytes = model(&parts);
    let x = Arc::new(Tensor::f32(&[1, 2], vec![1.0, 2.0]));
    let try_run = |bytes: &[u8]| -> Result<()> {
        let model = proto::read(bytes)?;
        program(&model, "y")?.run(&[Arc::clone(&x)], &[], &Budget::of_rows(1)).map(drop)
    };
    try_run(&bytes).unwrap();
    for at in 0..bytes.len() {
        let _ = try_run(&bytes[..at]);
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _ = try_run(&changed);
        }
    }
}

#[test]
fn trees_compare_as_their_modes_say_and_missing_values_go_where_they_are_tracked() {
    let tree = |mode: &str, tracks: u64| {
        let ids = |name: &str, values: &[u64]| {
            let packed: Vec<u8> = values.iter().flat_map(|&value| varint(value)).collect();
            [field(1, name.as_bytes()), field(8, &packed)].concat()
        };
        node(
            "TreeEnsembleRegressor",
            &["x"],
            &["y"],
            &[
                ids("nodes_treeids", &[0, 0, 0]),
                ids("nodes_nodeids", &[0, 1, 2]),
                ids("nodes_featureids", &[1, 0, 0]),
                ids("nodes_truenodeids", &[1, 0, 0]),
                ids("nodes_falsenodeids", &[2, 0, 0]),
                ids("nodes_missing_value_tracks_true", &[tracks, 0, 0]),
                words("nodes_modes", &[mode, "LEAF", "LEAF"]),
                floats("nodes_values", &[0.5, 0.0, 0.0]),
                ids("target_treeids", &[0, 0]),
                ids("target_nodeids", &[1, 2]),
                ids("target_ids", &[0, 0]),
                floats("target_weights", &[1.0, -1.0]),
                int("n_targets", 1),
            ],
        )
    };
    let rows = |mode, tracks| {
        let x = Tensor::f32(&[4, 2], vec![9.0, 0.25, 9.0, 0.5, 9.0, 0.75, 9.0, f32::NAN]);
        run(&[tree(mode, tracks)], x).unwrap().to_f64().unwrap()
    };
    assert_eq!(rows("BRANCH_LEQ", 0), [1.0, 1.0, -1.0, -1.0]);
    assert_eq!(rows("BRANCH_LT", 1), [1.0, -1.0, -1.0, 1.0]);
    assert_eq!(rows("BRANCH_GTE", 0), [-1.0, 1.0, 1.0, -1.0]);
    assert_eq!(rows("BRANCH_GT", 1), [-1.0, -1.0, 1.0, 1.0]);
    assert_eq!(rows("BRANCH_EQ", 0), [-1.0, 1.0, -1.0, -1.0]);
    assert_eq!(rows("BRANCH_NEQ", 0), [1.0, -1.0, 1.0, 1.0]);
}

#[test]
fn the_error_function_is_that_of_the_tables() {
    // Abramowitz and Stegun (1964), tables 7.1 and 7.3.
    let known =
        [(0.1, 0.112_462_916_0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)];
    let x: Vec<f32> = known.iter().map(|&(x, _)| x).collect();
    let made = run(&[node("Erf", &["x"], &["y"], &[])], Tensor::f32(&[4], x)).unwrap().to_f64().unwrap();
    for (made, (_, known)) in made.iter().zip(known) {
        assert!((made - known).abs() < 1e-7, "{made} {known}");
    }
    let double = Tensor::new(vec![3], Data::F64(vec![2.999_999, 3.000_001, -4.0]));
    let made = run(&[node("Erf", &["x"], &["y"], &[])], double).unwrap().to_f64().unwrap();
    // 1 − erfc(3), and 1 − erfc(4) = 1 − 1.5417257900e-8.
    assert!((made[0] - 0.999_977_909_503).abs() < 2e-9 && (made[1] - made[0]).abs() < 1e-9, "{made:?}");
    assert!((made[2] + 1.0 - 1.541_725_79e-8).abs() < 1e-15, "{made:?}");
}

#[test]
fn slices_count_from_either_end_and_in_either_direction() {
    let slice = |bounds: [u64; 4]| {
        let constant = |name: &str, value: u64| {
            let made =
                [number(1, 1), number(2, 7), field(8, name.as_bytes()), field(9, &value.to_le_bytes())];
            field(5, &made.concat())
        };
        let parts = [
            node("Slice", &["x", "from", "to", "axis", "step"], &["y"], &[]),
            constant("from", bounds[0]),
            constant("to", bounds[1]),
            constant("axis", bounds[2]),
            constant("step", bounds[3]),
        ];
        run(&parts, Tensor::f32(&[1, 5], vec![0.0, 1.0, 2.0, 3.0, 4.0])).unwrap().to_f64().unwrap()
    };
    let negative = |x: i64| x as u64;
    assert_eq!(slice([1, 3, 1, 1]), [1.0, 2.0]);
    assert_eq!(slice([negative(-2), i64::MAX as u64, negative(-1), 1]), [3.0, 4.0]);
    assert_eq!(slice([negative(-1), i64::MIN as u64, 1, negative(-2)]), [4.0, 2.0, 0.0]);
    assert_eq!(slice([4, 0, 1, negative(-3)]), [4.0, 1.0]);
}

#[test]
fn a_scan_carries_its_state_and_collects_what_each_step_makes() {
    // y: the running sums of the rows of x.
    let body = [
        node("Add", &["state", "row"], &["next"], &[]),
        node("Identity", &["next"], &["seen"], &[]),
        info(11, "state"),
        info(11, "row"),
        info(12, "next"),
        info(12, "seen"),
    ];
    let body = [field(1, b"body"), field(6, &body.concat())].concat();
    let parts = [
        constant("zero", &[2], &[0.0, 0.0]),
        node("Scan", &["zero", "x"], &["end", "y"], &[body, int("num_scan_inputs", 1)]),
    ];
    let made = run(&parts, Tensor::f32(&[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
    assert_eq!(made, Tensor::f32(&[3, 2], vec![1.0, 2.0, 4.0, 6.0, 9.0, 12.0]));
}

#[test]
fn a_scan_that_adds_up_squares_is_that_of_its_steps() {
    // The distances of the rows of x from two others; with a second Identity nothing is recognised.
    let made = |is_plain: bool| {
        let taken = if is_plain { "rows" } else { "again" };
        let mut body = vec![
            node("Identity", &["rows"], &["same"], &[]),
            node("Sub", &[taken, "other"], &["difference"], &[]),
            node("ReduceSumSquare", &["difference"], &["sums"], &[int("keepdims", 0), int_list("axes", 1)]),
            info(11, "rows"),
            info(11, "other"),
            info(12, "same"),
            info(12, "sums"),
        ];
        if !is_plain {
            body.push(node("Identity", &["rows"], &["again"], &[]));
        }
        let body = [field(1, b"body"), field(6, &body.concat())].concat();
        let parts = [
            constant("others", &[2, 2], &[0.1, 0.2, -7.5, 1e-3]),
            node("Scan", &["x", "others"], &["end", "y"], &[body, int("num_scan_inputs", 1)]),
        ];
        run(&parts, Tensor::f32(&[3, 2], vec![1.3, 2.7, 3.1, f32::NAN, 1e20, 6.0])).unwrap()
    };
    let [recognised, general] = [made(true), made(false)];
    assert_eq!(recognised.shape, [2, 3]);
    assert_eq!(recognised.shape, general.shape);
    let bits = |made: &Tensor| made.to_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&recognised), bits(&general));
}

#[test]
fn words_are_cut_by_the_expressions_that_exporters_write_and_others_are_refused() {
    let tokens = |expression: &str, texts: &[&str]| {
        let attributes =
            [word("tokenexp", expression), word("pad_value", "#"), int("mincharnum", 1), int("mark", 0)];
        let texts = texts.iter().map(|text| Arc::from(*text)).collect::<Vec<_>>();
        let x = Tensor::new(vec![texts.len()], Data::Text(texts));
        let made = run(&[node("Tokenizer", &["x"], &["y"], &attributes)], x)?;
        Ok::<_, anyhow::Error>((made.shape.clone(), made.texts()?.join("|")))
    };
    let (shape, words) = tokens("[a-zA-Z0-9_]+", &["a film-plot", "x"]).unwrap();
    assert_eq!((shape, words.as_str()), (vec![2, 3], "a|film|plot|x|#|#"));
    assert_eq!(tokens(r"\b\w\w+\b", &["a film, or 2"]).unwrap().1, "film|or");
    assert_eq!(tokens("[^ ,]{2,3}", &["abcd, ef"]).unwrap().1, "abc|ef");
    assert!(format!("{:#}", tokens("(a|b)+", &["a"]).unwrap_err()).contains("regular expression \"(a|b)+\""));
}
