//! Networks: the multilayer perceptron and its gradients.

pub(crate) mod backprop;
pub(crate) mod mlp;
