"""Training. One step in the order of its calls, as ``Trainer.run`` makes it in one process, with the joint schedule:

    while state.step < train.steps:                         # trainer.py: the loop
        steering.obey(control.due(state.step))              # steering.py: what users ask, between two steps
        result = state.make_step()                          # train_state.py: the lines up to StepResult
            plan = schedule.at(state.global_step)           # step.py: all enabled tasks, or one that is drawn
            index = group.stream.next()                     # batch.py: the next rows of each dataset
            x = to_unit(group.resident.images.index_select(0, index))
            output = model(x)                               # acc/models: encodes; decodes once, if a task asks for it
            losses = [entry.task.compute_loss(output, batch, entry.head)]  # plugins/tasks: one for each task
            total = sum(loss * factor); total.backward()    # step.py: Plan.losses, Plan.factors, Updates.make
            optimizer.set_lr(state.lr, state.step); optimizer.step()  # optimizers.py
            return StepResult(losses, factors, lr, norm, drawn)
        recorder.add(result)                                # losses/recorder.py: kept on the device
        block, unsound = recorder.fetch()                   # some ten times a second, the one wait for the device
        sink.on_block(block)                                # protocols.py: told to whoever keeps them

Now and then ``sink.on_checkpoint(state.snapshot(), "autosave")``. ``losses/``: names, records, alarms of losses.
``checkpoints/``: the file and what goes into it. ``ranks/``: many processes that train one model.
"""
