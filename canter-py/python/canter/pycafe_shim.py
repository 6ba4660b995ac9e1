"""Has ``import PyCafe`` mean `canter.pycafe`.

``python -m canter.pycafe_shim script.py`` runs a script so; ``import canter.pycafe_shim`` before the first
``import PyCafe`` does it in a program.
"""

from ._shim import install, main

install("PyCafe", "canter.pycafe")

if __name__ == "__main__":
    main("python -m canter.pycafe_shim")
