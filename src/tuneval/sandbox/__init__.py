"""Program + limits -> outcome: the only place that runs foreign code. Knows no benchmark."""
