"""What runs inside a sandbox. Imports the standard library only: inside there is nothing else.

The evaluator loads these files as ``tuneval.sandbox.inside``; a sandbox loads the same files as the
package ``inside``, so they refer to one another relatively and to nothing outside.
"""
