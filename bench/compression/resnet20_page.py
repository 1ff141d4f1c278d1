"""What the page of resnet20.py says beside its figures."""

ABOUT = """ResNet-20 (268,336 weights) on CIFAR-10, pruned and clustered in five passes over 12,800
training images, beside the same network trained for as many in floating point, which is its teacher
too. Both begin with the published network, which does not know these JPEG-decoded images yet. Bytes
are those of weights and biases, or all sections of the `.kbin` for `small` that machine and host
need; entropy coding, by zlib or lzma of Python's library, is told apart. Clocks are those of one
image on `small`. Accuracies are of one seed; one standard error of a difference of test accuracies
(5,000 images) is about 0.3 points. The published network has seen the held-back images (3,200) in
their original pixels, so more of them are recognised than of test images.

No computation reads test images before a row is finished, but people had read them: this is the
sixth schedule. Four before it, to 38 %, twice 45 % and 48 %, began with a network that had been
trained for four passes more, one to 48 % with the published one and no teacher. Their binaries lost
0.8 to 1.8 points to float networks trained for as many passes."""

NETWORKS_NOTE = """`passes` are all those over the 12,800 images. `loss` is against test accuracy of
`float32, trained on`, in integers where there are any, in points. `torch int8` and what has `bits a
weight` or `magnitudes` in its name are that network, not trained again. What is not clustered is
compiled with 16 magnitudes. Taps are those of the binary, shortcuts among them. `forward order`:
layers cut by magnitude one after the other, all to the density of `pruned to 45 %` in as many
passes with the same teacher."""
