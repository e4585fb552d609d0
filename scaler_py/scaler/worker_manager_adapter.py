"""Where programs of before look for worker managers."""

import warnings

warnings.warn("scaler.worker_manager_adapter is scaler.managers now", DeprecationWarning, stacklevel=2)
