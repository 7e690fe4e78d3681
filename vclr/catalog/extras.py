"""The extras of pyproject.toml (`pip install 'vclr[NAME]'`), and what each is for."""

EXTRAS = {
    "models": "pretrained models of the Hugging Face hub",
    "backbones": "`model.backbone.name=transformers`: Swin, ConvNeXt, ViT, DINOv2, DINOv3",
    "export": "`vclr export --format onnx`",
    "video": "`vclr predict clip.mp4`",
    "lvis": "`vclr score --lvis`",
    "s3": "a bucket as the remote of DVC",
    "server": "`vclr ui --server`: PostgreSQL, S3 and accounts",
    "dev": "tests and checks",
}
