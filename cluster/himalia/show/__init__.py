"""How a cluster and what belongs to it look as text and as static HTML, with the units that people read."""
