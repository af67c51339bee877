"""The five services: camera, inference, explainer, trainer, dashboard."""
