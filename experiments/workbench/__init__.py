"""What the experiments share: settings, inputs, cuts of traces, tables and drawing."""
