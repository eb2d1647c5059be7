"""Stop policies in a training as it runs: one adapter a framework, each handing the framework's history to
the same function.

``replay.live.transformers.StopCallback``, ``replay.live.keras.StopCallback``,
``replay.live.lightning.StopCallback``.
"""
