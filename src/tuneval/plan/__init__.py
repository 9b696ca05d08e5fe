"""Words or run.yaml -> RunSpec -> Plan: everything read, every gap filled, before a model is loaded."""
