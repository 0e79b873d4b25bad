"""For all tests: a build's verdict depends on the code alone.

Nothing is judged by the time that it takes, since a busy machine is no fault of the code. Hypothesis draws the same
examples for the same code each time, so what fails a build fails it again. The random search for what nobody thought of
goes on in ``make hunt``: with the profile ``hunt`` every run draws anew, and what fails is remembered and tried first.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fixed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None
)
settings.register_profile(
    "hunt", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=False
)
settings.load_profile("fixed")
