//! Models with every type of column, trained when a target starts.

use mlapi::model::pipeline::Pipeline;
use mlapi::{ColumnType, Model, Plan};

/// The columns but the target, with their types.
pub const COLUMNS: [(&str, ColumnType); 6] = [
    ("spend", ColumnType::Number),
    ("member", ColumnType::Boolean),
    ("plan", ColumnType::Category),
    ("shop", ColumnType::Category),
    ("day", ColumnType::Date),
    ("said", ColumnType::Text),
];

/// More shops than have slots of their own, so that their means of the target come in.
pub const MANY: u32 = 300;

/// A model of so many shops that predicts two classes, or a number.
pub fn trained(algorithm: &str, classes: bool, n_shops: u32) -> Model {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut table = names.join(",") + ",target\n";
    for i in 0..n_shops + 100 {
        let mixed = |n: u32| i.wrapping_mul(2_654_435_761).rotate_left(n) % 1000;
        let target =
            if classes { ["low", "high"][(mixed(3) % 2) as usize].into() } else { mixed(5).to_string() };
        table += &format!(
            "{}.{},{},p{},s{},2024-{:02}-{:02},{} parcel {},{target}\n",
            mixed(1) % 100,
            mixed(2) % 10,
            mixed(4) % 2 == 0,
            mixed(6) % 4,
            i % n_shops,
            mixed(7) % 12 + 1,
            mixed(8) % 28 + 1,
            ["late", "lost", "damaged"][(mixed(9) % 3) as usize],
            ["refund", "arrived"][(mixed(10) % 2) as usize],
        );
    }
    let path = std::env::temp_dir().join(format!("mlapi-fuzz-{}.csv", std::process::id()));
    std::fs::write(&path, table).expect("a folder for temporary files");
    let plan = Plan {
        algorithm: algorithm.into(),
        settings: if ["forest", "boost"].contains(&algorithm) {
            vec![("n_estimators".into(), "5".into())]
        } else {
            vec![]
        },
        types: COLUMNS.map(|(name, column_type)| (name.to_string(), column_type)).to_vec(),
        ..Plan::new(path.to_str().expect("a path in UTF-8"))
    };
    let model = plan.train().expect("the table can be learned");
    let _ = std::fs::remove_file(path);
    model
}

/// An ensemble of models of the same rows, of different weights.
#[allow(dead_code)]
pub fn blended(algorithms: &[&str], classes: bool, n_shops: u32) -> Model {
    let mut models: Vec<Model> =
        algorithms.iter().map(|algorithm| trained(algorithm, classes, n_shops)).collect();
    let Model { card, golden, pipeline, .. } = models.remove(0);
    let pipelines: Vec<Pipeline> =
        std::iter::once(pipeline).chain(models.into_iter().map(|model| model.pipeline)).collect();
    let weights: Vec<f64> = (1..=pipelines.len()).map(|weight| weight as f64).collect();
    let pipeline = Pipeline::blend(pipelines, &weights).expect("models of the same rows");
    Model { card, pipeline, golden, reference: Default::default() }
}
