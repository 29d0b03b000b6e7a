"""The ops under the names of ``torch.nn.functional``."""

from minitorch.ops import (
    attention_weights, binary_cross_entropy, binary_cross_entropy_with_logits, cosine_similarity, cross_entropy, dropout,
    elu, embedding, feed_forward, gelu, glu, huber_loss, kl_div, l1_loss, layer_norm, leaky_relu, linear, log_softmax,
    logsigmoid, mse_loss, nll_loss, normalize, one_hot, pad, pairwise_distance, relu, relu6, residual_add, rms_norm,
    scaled_dot_product_attention, sigmoid, silu, smooth_l1_loss, softmax, softmax_projection, softmin, softplus, tanh,
)

__all__ = [
    "attention_weights", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity", "cross_entropy",
    "dropout", "elu", "embedding", "feed_forward", "gelu", "glu", "huber_loss", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "log_softmax", "logsigmoid", "mse_loss", "nll_loss", "normalize", "one_hot", "pad",
    "pairwise_distance", "relu", "relu6", "residual_add", "rms_norm", "scaled_dot_product_attention", "sigmoid", "silu",
    "smooth_l1_loss", "softmax", "softmax_projection", "softmin", "softplus", "tanh",
]
