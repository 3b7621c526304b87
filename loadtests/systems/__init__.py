"""The systems that are compared, one program each; `loadtests.contenders` says how they are started and asked."""
