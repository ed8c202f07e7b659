"""From decoded uint8 pictures to the batch that a network reads. May import ``structures`` and below."""

from admlops.models.data_preprocessors.multi_task_data_preprocessor import MultiTaskDataPreprocessor

__all__ = ["MultiTaskDataPreprocessor"]
