//! The operators by name. A new one is a line of the table and a function that makes a [`Run`] of a node.

use anyhow::{Result, bail, ensure};

use super::dense;
use super::elementwise;
use super::encoders;
use super::ensemble;
use super::learned;
use super::proto::NodeDef;
use super::reduce;
use super::shape;
use super::step::{Outer, Run};
use super::text;

type Make = fn(&NodeDef, &Outer) -> Result<Run>;

/// Name, and what makes it; those of machine learning stand last.
#[rustfmt::skip]
const OPERATORS: &[(&str, Make)] = &[
    ("Abs", elementwise::unary), ("Acos", elementwise::unary), ("Asin", elementwise::unary), ("Atan", elementwise::unary),
    ("Ceil", elementwise::unary), ("Cos", elementwise::unary), ("Elu", elementwise::unary), ("Erf", elementwise::unary),
    ("Exp", elementwise::unary), ("Floor", elementwise::unary), ("Gelu", elementwise::unary),
    ("HardSigmoid", elementwise::unary), ("HardSwish", elementwise::unary), ("LeakyRelu", elementwise::unary),
    ("Log", elementwise::unary), ("Mish", elementwise::unary), ("Neg", elementwise::unary), ("Reciprocal", elementwise::unary),
    ("Relu", elementwise::unary), ("Round", elementwise::unary), ("Selu", elementwise::unary), ("Sigmoid", elementwise::unary),
    ("Sign", elementwise::unary), ("Sin", elementwise::unary), ("Softplus", elementwise::unary), ("Softsign", elementwise::unary),
    ("Sqrt", elementwise::unary), ("Swish", elementwise::unary), ("Tan", elementwise::unary), ("Tanh", elementwise::unary),
    ("IsNaN", elementwise::is_nan), ("IsInf", elementwise::is_inf), ("Not", elementwise::not),
    ("Add", elementwise::arithmetic), ("Sub", elementwise::arithmetic), ("Mul", elementwise::arithmetic),
    ("Div", elementwise::arithmetic), ("Pow", elementwise::arithmetic), ("Mod", elementwise::arithmetic),
    ("Max", elementwise::arithmetic), ("Min", elementwise::arithmetic), ("Sum", elementwise::arithmetic),
    ("Mean", elementwise::arithmetic), ("PRelu", elementwise::arithmetic),
    ("Equal", elementwise::compare), ("Greater", elementwise::compare), ("GreaterOrEqual", elementwise::compare),
    ("Less", elementwise::compare), ("LessOrEqual", elementwise::compare), ("And", elementwise::compare),
    ("Or", elementwise::compare), ("Xor", elementwise::compare),
    ("Where", elementwise::choose), ("Cast", elementwise::cast), ("CastLike", elementwise::cast_like), ("Clip", elementwise::clip),
    ("Identity", shape::identity), ("Dropout", shape::identity), ("Constant", shape::constant),
    ("ConstantOfShape", shape::constant_of_shape), ("Shape", shape::shape), ("Size", shape::size), ("Range", shape::range),
    ("Concat", shape::concat), ("Reshape", shape::reshape), ("Flatten", shape::flatten), ("Squeeze", shape::squeeze),
    ("Unsqueeze", shape::unsqueeze), ("Transpose", shape::transpose), ("Gather", shape::gather),
    ("GatherElements", shape::gather_elements), ("Slice", shape::slice), ("Split", shape::split), ("Expand", shape::expand),
    ("Tile", shape::tile), ("Pad", shape::pad),
    ("ReduceSum", reduce::reduce), ("ReduceMean", reduce::reduce), ("ReduceMax", reduce::reduce), ("ReduceMin", reduce::reduce),
    ("ReduceProd", reduce::reduce), ("ReduceL1", reduce::reduce), ("ReduceL2", reduce::reduce),
    ("ReduceSumSquare", reduce::reduce), ("ReduceLogSum", reduce::reduce), ("ReduceLogSumExp", reduce::reduce),
    ("ArgMax", reduce::arg), ("ArgMin", reduce::arg), ("TopK", reduce::top_k), ("Softmax", reduce::softmax),
    ("LogSoftmax", reduce::softmax), ("CumSum", reduce::cumulative_sum),
    ("MatMul", dense::mat_mul), ("Gemm", dense::gemm), ("BatchNormalization", dense::batch_normalization),
    ("LayerNormalization", dense::layer_normalization), ("Conv", dense::conv), ("MaxPool", dense::pool),
    ("AveragePool", dense::pool), ("GlobalAveragePool", dense::global_pool), ("GlobalMaxPool", dense::global_pool),
    ("CDist", learned::distances),
    ("Scaler", encoders::scaler), ("Normalizer", encoders::normalizer), ("Imputer", encoders::imputer),
    ("OneHotEncoder", encoders::one_hot), ("LabelEncoder", encoders::label_encoder), ("ZipMap", shape::identity),
    ("FeatureVectorizer", encoders::feature_vectorizer), ("ArrayFeatureExtractor", encoders::array_feature_extractor),
    ("Binarizer", encoders::binarizer),
    ("LinearClassifier", learned::linear_classifier), ("LinearRegressor", learned::linear_regressor),
    ("SVMClassifier", learned::svm_classifier), ("SVMRegressor", learned::svm_regressor),
    ("TreeEnsembleClassifier", ensemble::classifier), ("TreeEnsembleRegressor", ensemble::regressor),
    ("TreeEnsemble", ensemble::regressor),
    ("TfIdfVectorizer", text::tf_idf), ("Tokenizer", text::tokenizer), ("StringNormalizer", text::normalizer),
];

/// Makes what a node does.
///
/// # Errors
/// An operator that is not known, by its name, with those that are; attributes that it does not take.
pub(crate) fn find(node: &NodeDef, outer: &Outer) -> Result<Run> {
    ensure!(
        ["", "ai.onnx.ml", "com.microsoft"].contains(&node.domain.as_str()),
        "the operator {} of {:?} is not known; those of ONNX and of ai.onnx.ml are",
        node.op,
        node.domain
    );
    match OPERATORS.iter().find(|(name, _)| *name == node.op) {
        Some((_, make)) => make(node, outer),
        None => {
            let known: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
            bail!("the operator {} is not known; known are Scan, {}", node.op, known.join(", "))
        }
    }
}
