"""BERT's encoder in PyTorch, for the scripts beside: the shapes of bench/models.h."""
import torch
from torch import nn

# layers, hidden size, heads, feed-forward units
ENCODERS = {"student": (4, 384, 6, 1536), "minilm": (6, 384, 12, 1536), "bert": (12, 768, 12, 3072)}


class Layer(nn.Module):
    def __init__(self, d, heads, ffn, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, ffn), nn.Linear(ffn, d)
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-12), nn.LayerNorm(d, eps=1e-12)

    def forward(self, x, mask):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(x).chunk(3, -1))
        if torch.onnx.is_in_onnx_export():
            scores = q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5
            a = torch.softmax(scores if mask is None else scores + mask, -1) @ v
        else:
            a = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.drop(self.out(a.transpose(1, 2).reshape(b, t, d))))
        return self.norm2(x + self.drop(self.down(nn.functional.gelu(self.up(x)))))


class Encoder(nn.Module):
    """BERT's encoder with the first row classified; `real` is 1 for tokens and 0 for padding, if there is any."""

    def __init__(self, layers, d, heads, ffn, dropout=0.1):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.words, self.places, self.norm = nn.Embedding(30522, d), nn.Embedding(512, d), nn.LayerNorm(d, eps=1e-12)
        self.layers = nn.ModuleList(Layer(d, heads, ffn, dropout) for _ in range(layers))
        self.classifier = nn.Linear(d, 3)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, ids, real=None):
        mask = None if real is None else (1.0 - real[:, None, None, :]) * -10000.0
        x = self.drop(self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1]))))
        for layer in self.layers:
            x = layer(x, mask)
        return self.classifier(self.drop(x[:, 0]))
