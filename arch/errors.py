"""The user's errors: one sentence that says what, where and what to do."""


class KcnnError(Exception):
    """Base of every error that a user can cause; the command line prints it and exits with 2."""


class ConfigError(KcnnError):
    """A hardware configuration breaks a rule."""


class FormatError(KcnnError):
    """A `.kbin` file or an assembly text is damaged, foreign or inconsistent."""


class KcnnWarning(UserWarning):
    """What a user should know of data or results; nothing is changed by it."""
