"""Training. One step in the order of its calls, as ``Trainer.run`` makes it (one process, the joint schedule):

    while state.step < train.steps:                            # trainer.py      the loop
        steering.obey(control.due(state.step))                 # steering.py     what users ask, between two steps
        result = state.make_step()                             # train_state.py  is what follows, up to StepResult:
            lr = lr_at(state.lr, state.step, train)            # optim.py
            plan = schedule.at(state.global_step)              # schedule.py     all enabled tasks, or one drawn
            index = group.stream.next()                        # rows.py         the next rows of each dataset
            x = to_unit(group.resident.images.index_select(0, index))          # batch.py
            output = model(x)                                  # acc/models      encodes; decodes once if it is asked to
            losses = [entry.task.compute_loss(output, batch, entry.head)]      # plugins/tasks, one for each task
            total = sum(loss * factor); total.backward()       # step.py         Plan.losses, Plan.factors, Updates.make
            optimizer.set_lr(lr); optimizer.inner.step()       # optim.py
            return StepResult(losses, factors, lr, norm, drawn)
        recorder.add(result)                                   # losses/         kept on the device; ten times a second
        sink.on_block(recorder.fetch())                        # protocols.py    the host asks for them, and tells
        sink.on_checkpoint(state.snapshot(), "autosave")       # checkpoints/    now and then

``losses/``: names, records, alarms. ``checkpoints/``: the file and what goes into it. ``ranks/``: many processes.
"""
