"""Where images come from: Omniglot, drawn strokes, MNIST, a person's own pictures, the network."""
